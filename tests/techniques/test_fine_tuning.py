"""Fine-tuning: what it learns from, what it leaves alone, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from densebench.errors import Unavailable
from densebench.model.adapter import Served, served
from densebench.model.fidelity import sqnr_db
from densebench.recipes.parse import resolve
from densebench.techniques import _fine_tuning
from densebench.techniques._fine_tuning import imitate, training_images
from densebench.techniques.pruning import pruning
from densebench.techniques.semi_structured import semi_structured
from densebench.workloads.base import ImageSet, Workload
from tests.small import tiny_workload
from tests.techniques.digits import small_workload, weights_of


@pytest.fixture(scope="module")
def small() -> Workload:
    """A small convolutional network and the digits."""
    return small_workload()


@pytest.fixture(scope="module")
def original(small: Workload) -> nn.Module:
    """The network, whose answers are to be imitated."""
    return small.build_model()


def validation(workload: Workload) -> Tensor:
    """Images that nothing was trained on."""
    assert workload.data.validation is not None
    return workload.data.validation.read(range(200))


def nearness(workload: Workload, original: nn.Module, changed: nn.Module) -> float:
    """Signal-to-noise ratio of the changed model's answers, in dB."""
    images = validation(workload)
    with torch.inference_mode():
        found = sqnr_db(changed(images), original(images))
    assert found is not None
    return found


@pytest.mark.parametrize("technique", [pruning, semi_structured])
def test_zeros_stay_and_answers_come_back(
    small: Workload, original: nn.Module, technique: Callable[..., Served]
) -> None:
    """Fine-tuned, the very same weights are zero, and unseen images are answered more as the original does."""
    options = {"amount": 0.6} if technique is pruning else {}
    said: list[str] = []
    plain = technique(original, small, **options)
    tuned = technique(original, small, fine_tune=True, epochs=4, progress=said.append, **options)
    assert torch.equal(weights_of(plain) == 0, weights_of(tuned) == 0)
    assert not torch.equal(weights_of(plain), weights_of(tuned))
    assert nearness(small, original, tuned) > nearness(small, original, plain) + 1
    assert [line.partition(":")[0] for line in said] == [f"epoch {n} of 4 at 16 pixels" for n in (1, 2, 3, 4)]


def test_validation_images_are_never_looked_at(small: Workload, original: nn.Module) -> None:
    """Neither to learn from nor to choose an epoch by: else the accuracy on them would be too good."""
    assert small.data.validation is not None
    hidden = ImageSet(small.data.validation.labels, lambda positions: pytest.fail("read"))
    data = replace(small.data, validation=hidden, timing=lambda size: pytest.fail("read"))
    pruning(original, replace(small, data=data), fine_tune=True, epochs=1)


def test_the_best_epoch_is_kept(
    small: Workload, original: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three epochs the second scores best on the held-out training images: its weights are what is left."""
    scores = iter([(0.5, 0.0), (0.9, 0.0), (0.7, 0.0)])
    states = []
    changed = served(original)

    def score(*given: Tensor) -> tuple[float, float]:
        states.append({name: value.clone() for name, value in changed.core.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(_fine_tuning, "_score", score)
    imitate(changed, original, small, epochs=3, learning_rate=1e-3)
    assert all(torch.equal(value, states[1][name]) for name, value in changed.core.state_dict().items())
    assert not torch.equal(changed.core.head.weight, states[2]["head.weight"])
    assert not any(part.training for part in changed.core.modules())
    assert all(parameter.grad is None for parameter in changed.parameters())


def test_held_out_images_are_not_trained_on(
    small: Workload, original: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the training images choose the epoch, and no step sees one of them."""
    assert small.data.training is not None
    read, logits = small.data.training.read, _fine_tuning._logits
    seen: list[int] = []
    held_out: set[int] = set()

    def note(positions: Sequence[int]) -> Tensor:
        seen.extend(positions)
        return read(positions)

    def ask(model: nn.Module, images: ImageSet, positions: list[int]) -> Tensor:
        held_out.update(positions)
        return logits(model, replace(images, read=read), positions)

    monkeypatch.setattr(_fine_tuning, "_logits", ask)
    training = replace(small.data.training, read=note)
    imitate(
        served(original),
        original,
        replace(small, data=replace(small.data, training=training)),
        epochs=2,
        learning_rate=1e-3,
    )
    assert len(held_out) == 73
    assert set(seen).isdisjoint(held_out)
    assert set(seen) | held_out == set(range(733))


def test_logits_are_learnt_not_only_classes(small: Workload, original: nn.Module) -> None:
    """A head shifted by the same amount for all classes gives the same classes, and yet is brought back."""
    changed = served(original)
    with torch.no_grad():
        changed.core.head.bias += 3.0
    imitate(changed, original, small, epochs=2, learning_rate=1e-1)
    with torch.inference_mode():
        images = validation(small)
        assert float((changed(images) - original(images)).mean().abs()) < 1.0


def test_another_seed_gives_other_weights(small: Workload, original: nn.Module) -> None:
    """So that what it costs in accuracy can be measured more than once."""
    tuned = [served(original) for _ in range(2)]
    for seed, changed in enumerate(tuned):
        imitate(changed, original, small, epochs=1, learning_rate=1e-3, seed=seed)
    assert not torch.equal(weights_of(tuned[0]), weights_of(tuned[1]))


def test_layout_and_random_state_are_as_before(small: Workload, original: nn.Module) -> None:
    """It trains in NHWC, with a seed of its own; neither is seen from outside."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for nhwc in (False, True):
        changed = served(original, channels_last=nhwc)
        imitate(changed, original, small, epochs=1, learning_rate=1e-3)
        kernel = changed.core.second.weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) is nhwc
        assert kernel.is_contiguous() is not nhwc
    assert torch.equal(torch.rand(1), expected)


def test_large_images_are_halved_for_most_epochs(small: Workload) -> None:
    """At 224 pixels two of three epochs see 112, the last ones 224; a model of one size only sees that."""
    large = replace(small, image_size=224, model_name="densenet121")
    sizes = [stage.sizes[0] for stage in _fine_tuning._stages(large, 6, 600)]
    assert sizes == [112] * 4 + [224] * 2
    fixed = replace(large, model_name="vit_b_16")
    assert {stage.sizes[0] for stage in _fine_tuning._stages(fixed, 8, 600)} == {224}
    assert [stage.sizes[0] for stage in _fine_tuning._stages(replace(small, image_size=64), 2, 600)] == [
        64,
        64,
    ]
    steps = _fine_tuning._stages(large, 1, 1_000_000)[0]
    assert steps.steps * steps.batch_size <= _fine_tuning.EPOCH_IMAGES


@pytest.mark.parametrize("workload", [None, tiny_workload()])
def test_without_training_images_it_says_what_it_needs(
    workload: Workload | None, original: nn.Module
) -> None:
    """No workload, or one without training images: one line that names the remedy."""
    with pytest.raises(Unavailable, match="training images and there are none: use --data digits"):
        pruning(original, workload, fine_tune=True)


def test_too_few_training_images_are_refused(small: Workload) -> None:
    """Nothing can be learnt from eight images."""
    few = ImageSet(tuple(range(8)), lambda positions: torch.zeros(len(positions), 3, 16, 16))
    with pytest.raises(Unavailable, match="there are 8"):
        training_images(replace(small, data=replace(small.data, training=few)))


def test_two_of_every_four_weights_go(original: nn.Module) -> None:
    """Along the input channels of every layer that has a multiple of four of them, the two least are zero."""
    changed = semi_structured(original)
    assert isinstance(changed, Served)
    before, after = original.second.weight, changed.core.second.weight
    groups = after.movedim(1, -1).reshape(-1, 4)
    assert torch.equal((groups == 0).sum(dim=1), torch.full((len(groups),), 2))
    wholes = before.movedim(1, -1).reshape(-1, 4)
    assert torch.equal(groups.abs().sum(dim=1), wholes.abs().sort(dim=1).values[:, 2:].sum(dim=1))
    assert torch.equal(changed.core.first.weight, original.first.weight)  # three channels


@pytest.mark.parametrize("name", ["pruning", "semi_structured", "structured_pruning"])
def test_what_it_takes_is_forecast(name):
    """Longer for more epochs and larger images, hardly anything without it; 20 s to minutes were measured."""
    with_it, without = resolve(f"{name}:fine_tune=true", {}), resolve(f"{name}:fine_tune=false", {})
    more = resolve(f"{name}:fine_tune=true:epochs=20", {})
    assert without.typical_build_s(224) < 10
    assert 20 < with_it.typical_build_s(32) < 80
    assert 200 < with_it.typical_build_s(224) < more.typical_build_s(224)
