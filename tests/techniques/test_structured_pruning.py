"""Structured pruning: half of the multiplications go, the accuracy stays, and the file needs no library to load."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from densebench.engines import eager
from densebench.engines.base import Target
from densebench.errors import Unavailable, UsageError
from densebench.model.adapter import Served
from densebench.model.inspection import observe
from densebench.model.pruned_shapes import channels_removed
from densebench.recipes import parse
from densebench.techniques import catalogue
from densebench.techniques.structured_pruning import ROUND_TO, structured_pruning
from densebench.workloads import Workload, WorkloadRequest, models, open_workload
from densebench.workloads.base import ImageSet
from densebench.workloads.none import open_no_data
from tests.techniques.digits import Small, small_workload

pytest.importorskip("torch_pruning")
pytestmark = pytest.mark.timeout(900)  # a minute of training takes five on cores that others use too


@dataclass(frozen=True)
class Made:
    """DenseNet-121 on the digits, before and after, and what was said meanwhile."""

    workload: Workload
    original: nn.Module
    changed: Served
    said: tuple[str, ...]


@pytest.fixture(scope="module")
def made() -> Made:
    """Nearly as a sweep has it: two epochs less."""
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=32))
    original = workload.build_model()
    said: list[str] = []
    changed = structured_pruning(original, workload, epochs=4, progress=said.append)
    assert isinstance(changed, Served)
    return Made(workload, original, changed, tuple(said))


def correct(model: nn.Module, workload: Workload) -> int:
    """Validation images that are answered right."""
    assert workload.data.validation is not None
    with torch.inference_mode():
        batches = workload.data.validation.batches(50)
        return sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches)


def macs(model: nn.Module, size: int = 32) -> int:
    """Multiplications of one image."""
    return observe(model, model, torch.zeros(1, 3, size, size)).macs.total()


def test_half_of_the_multiplications_go_and_the_accuracy_stays(made: Made) -> None:
    """On the 1,000 digits that nothing was trained on, at most one percentage point is lost."""
    assert macs(made.changed) <= 0.5 * macs(made.original)
    assert made.workload.data.validation is not None
    assert len(made.workload.data.validation) == 1000
    assert correct(made.changed, made.workload) >= correct(made.original, made.workload) - 10


def test_channels_come_in_eights(made: Made) -> None:
    """Every layer's width is a multiple of eight, but for the image's three channels and the ten classes."""
    layers = [m for m in made.changed.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 120
    assert {layer.out_channels % ROUND_TO for layer in layers} == {0}
    assert {layer.in_channels % ROUND_TO for layer in layers if layer.in_channels != 3} == {0}
    classifier = made.changed.core.classifier
    assert (classifier.out_features, classifier.in_features % ROUND_TO) == (10, 0)


def test_progress_is_told(made: Made) -> None:
    """Each removal and each epoch, with how many held-out images are right."""
    assert made.said[0].startswith("channels removed, step 1 of ")
    assert "held-out training images right" in made.said[-1]


LOAD = """
import json, sys, torch
from pathlib import Path
sys.modules["torch_pruning"] = None
from densebench.engines import eager
from safetensors.torch import load_file, save_file

folder = Path(sys.argv[1])
session = eager.load(folder, json.loads((folder / "details.json").read_text()), "cpu")
with torch.inference_mode():
    images = load_file(folder / "images")["images"]
    save_file({"logits": session(images)}, folder / "logits")
print(session.effect(images[:1]))
"""


def test_it_loads_where_torch_pruning_cannot_be_imported(made: Made, tmp_path: Path) -> None:
    """Another process gives the same outputs from the file alone, and counts what was removed."""
    from safetensors.torch import save_file

    built = eager.build(made.changed, made.workload, tmp_path, Target("cpu", (1,), 1))
    (tmp_path / "details.json").write_text(json.dumps(built.details))
    assert made.workload.data.validation is not None
    images = made.workload.data.validation.read(range(8))
    save_file({"images": images}, tmp_path / "images")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        assert torch.allclose(load_file(tmp_path / "logits")["logits"], made.changed(images), atol=1e-5)
    removed, whole = channels_removed(made.changed)
    assert built.details["architecture"]["channels_removed"] == {"removed": removed, "of": whole}
    share = 100 * (1 - macs(made.changed) / macs(made.original))
    assert done.stdout.strip() == f"{removed:,} of {whole:,} channels removed, {share:.0f} % of the MACs"


def test_a_claim_without_a_deed_is_found_out(made: Made, tmp_path: Path) -> None:
    """A model that no channel was taken from has none of this effect."""
    built = eager.build(made.original, made.workload, tmp_path, Target("cpu", (1,), 1))
    assert "channels_removed" not in built.details["architecture"]
    assert eager.load(tmp_path, built.details, "cpu").effect(torch.zeros(1, 3, 32, 32)).none_because


def test_it_stacks(made: Made) -> None:
    """Layout and precision come after it, and all three effects are seen; after a precision it is refused."""
    stack: nn.Module = made.changed
    for name in ("channels_last", "bf16"):
        stack = catalogue()[name].apply(stack, made.workload)
    said = str(eager.EagerSession(stack).effect(torch.zeros(1, 3, 32, 32)))
    for sign in ("bfloat16 convolutions 120/120", "NHWC convolutions", "channels removed"):
        assert sign in said
    assert parse.resolve("structured_pruning:ratio=0.2+channels_last+bf16", {}).techniques[0].options[
        "ratio"
    ] == pytest.approx(0.2)
    with pytest.raises(UsageError, match="put structured_pruning before bf16"):
        parse.resolve("bf16+structured_pruning", {})
    with pytest.raises(UsageError, match="both decide the weights"):
        parse.resolve("structured_pruning+pruning", {})


@pytest.fixture(scope="module")
def small() -> Workload:
    """A small convolutional network and the digits."""
    return small_workload()


def test_the_same_seed_gives_the_same_weights(small: Workload) -> None:
    """Two builds are equal to the last bit, whatever was drawn before."""
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(structured_pruning(small.build_model(), small, epochs=1).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_ratio_is_obeyed(small: Workload) -> None:
    """At least that share of the channels is removed, and at most so many more as rounding takes per layer."""
    for ratio in (0.2, 0.5):
        changed = structured_pruning(small.build_model(), small, ratio=ratio, fine_tune=False)
        removed = channels_removed(changed)[0]
        prunable = 32 + 48 + 48
        assert ratio * prunable - 1 <= removed <= ratio * prunable + 3 * (ROUND_TO - 1)


def test_channels_are_removed_in_steps(
    small: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch between two removals; in the end as much is gone as at once, and the file loads and answers.

    Each removal rounds anew: eight channels of the first layer are 8 % of the multiplications.
    """
    training = small.data.training
    assert training is not None
    few = replace(small, data=replace(small.data, training=ImageSet(training.labels[:64], training.read)))
    told: dict[int, list[str]] = {1: [], 3: []}
    at_once, stepwise = (
        structured_pruning(small.build_model(), few, steps=steps, epochs=1, progress=said.append)
        for steps, said in told.items()
    )
    assert told[3][::2] == [f"channels removed, step {step} of 3" for step in (1, 2, 3)]
    assert [line.split(" at ")[0] for line in told[3][1::2]] == ["epoch 1 of 1"] * 3
    whole, size = macs(small.build_model(), small.image_size), small.image_size
    share = 1 - macs(stepwise, size) / whole
    assert share == pytest.approx(1 - macs(at_once, size) / whole, abs=0.1)
    assert share > 0.3
    monkeypatch.setattr(models, "construct", lambda name, classes, channels: Small().eval())
    built = eager.build(stepwise, few, tmp_path, Target("cpu", (1,), 1))
    session = eager.load(tmp_path, built.details, "cpu")
    images = training.read(range(8))
    with torch.inference_mode():
        assert torch.allclose(session(images), stepwise(images), rtol=1e-4, atol=1e-5)
    assert f"{channels_removed(stepwise)[0]} of 138 channels removed" in str(session.effect(images[:1]))


def test_a_notebook_needs_no_workload_to_remove_channels(small: Workload) -> None:
    """Without fine-tuning any image size does, and the model given stays whole."""
    model = small.build_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed = structured_pruning(model, fine_tune=False)
    assert channels_removed(changed)[0] > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_training_images_it_says_what_it_needs(small: Workload) -> None:
    """Skipped with a reason, before any work is done."""
    with pytest.raises(Unavailable, match="fine-tuning needs at least 32 training images"):
        structured_pruning(small.build_model())
    bare = replace(small, data=open_no_data(3, 16, 0))
    with pytest.raises(Unavailable, match="--data digits"):
        structured_pruning(small.build_model(), bare)


class Normed(nn.Module):
    """Has a layer norm, whose width is in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 16, 3), nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.stem(images).mean(dim=(2, 3))))


class Hard(nn.Module):
    """Has a channel count in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stem(images).reshape(-1, 16, 900).mean(dim=2))


@pytest.mark.parametrize(("kind", "said"), [(Normed, "LayerNorm"), (Hard, "channels it was written with")])
def test_models_that_cannot_lose_channels_are_refused(
    small: Workload, kind: type[nn.Module], said: str
) -> None:
    """One line says why."""
    with pytest.raises(Unavailable, match=said):
        structured_pruning(kind().eval(), replace(small, image_size=32), fine_tune=False)


FAMILIES = (
    "efficientnet_b0",
    "googlenet",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "squeezenet1_1",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_other_families_come_back_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Additions, depthwise and grouped convolutions, gates: removed, saved, loaded, the same outputs.

    Of the README's code too, which has PyTorch alone.
    """
    workload = open_workload(WorkloadRequest(model=name, weights="random", data="none", image_size=64))
    changed = structured_pruning(workload.build_model(), workload, ratio=0.3, steps=1, fine_tune=False)
    removed, _ = channels_removed(changed)
    assert removed > 0
    built = eager.build(changed, workload, tmp_path, Target("cpu", (1,), 1))
    session = eager.load(tmp_path, built.details, "cpu")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = changed(images)
        assert torch.allclose(session(images), expected, rtol=1e-4, atol=1e-5)
    assert f"{removed:,} of " in str(session.effect(images[:1]))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"images": images.numpy()}
    exec(eager.ENGINE.usage(built.details, "cpu"), names)
    assert torch.allclose(torch.from_numpy(names["logits"]), expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_cannot_be_traced_is_refused() -> None:
    """torch-pruning divides by zero in ShuffleNet's shuffles: one line says so."""
    workload = open_workload(
        WorkloadRequest(model="shufflenet_v2_x0_5", weights="random", data="none", image_size=64)
    )
    with pytest.raises(Unavailable, match="can't follow this model's channels"):
        structured_pruning(workload.build_model(), workload, fine_tune=False)
