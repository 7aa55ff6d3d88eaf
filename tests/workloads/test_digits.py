"""The embedded checkpoints and the digits that they are validated on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open

from densebench.errors import InputError, UsageError
from densebench.workloads import WorkloadRequest, digits_data, open_workload
from densebench.workloads.digits import CHECKPOINTS, open_digits_weights

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("image_size", "promised"), [(32, 0.97), (64, 0.98)])
def test_the_embedded_checkpoint_keeps_its_promise(image_size: int, promised: float) -> None:
    """Top-1 on all 1,000 held-out digits, in float32 and eager (224: benchmarks/digits_accuracy.py)."""
    workload = open_workload(WorkloadRequest(weights="digits", image_size=image_size))
    assert workload.notes == ()
    assert workload.input_shape == (3, image_size, image_size)
    model, validation = workload.build_model(), workload.data.validation
    assert validation is not None
    assert len(validation) == 1000
    right = 0
    with torch.inference_mode():
        for images, labels in validation.batches(100):
            right += int((model(images).argmax(1) == labels).sum())
    assert right / 1000 >= promised


def test_the_checkpoints_say_what_they_are() -> None:
    """Each file is under 15 MB and carries the split that it was trained on and its measured accuracy."""
    files = sorted(CHECKPOINTS.glob("*.safetensors"))
    assert files
    for path in files:
        assert path.stat().st_size < 15_000_000
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        assert metadata["split"] == digits_data.FINGERPRINT
        assert {"model", "classes", "image_sizes", "mean", "std", "seed", "torch", "accuracy_top1"} <= set(
            metadata
        )


@pytest.mark.parametrize(("image_size", "trained"), [(24, 32), (32, 32), (64, 64), (224, 224), (384, 224)])
def test_the_checkpoint_of_the_nearest_size_is_taken(image_size: int, trained: int) -> None:
    """The nearest trained size is among those of the chosen file, and any other is noted."""
    weights = open_digits_weights("densenet121", image_size)
    assert trained in weights.image_sizes
    assert bool(weights.notes) == (image_size not in weights.image_sizes)


def test_digits_weights_are_for_one_model() -> None:
    """Another model with digits weights is answered with what to do."""
    with pytest.raises(UsageError, match="use --weights imagenet, random"):
        open_workload(WorkloadRequest("resnet18", "digits"))


def test_an_installation_without_checkpoints_says_so(tmp_path: Path) -> None:
    """Missing and damaged embedded files name the command that makes them again."""
    with pytest.raises(InputError, match="densebench train"):
        open_digits_weights("densenet121", 64, tmp_path)
    (tmp_path / "digits-small.safetensors").write_bytes(b"not this")
    with pytest.raises(InputError, match="densebench train"):
        open_digits_weights("densenet121", 64, tmp_path)


def test_the_sets_share_no_image() -> None:
    """Validation, timing and training are disjoint and complete; calibration is part of training."""
    _, labels = digits_data.load_images()
    parts = digits_data.split(labels)
    sets = [set(parts.validation), set(parts.timing), set(parts.training)]
    assert [len(s) for s in sets] == [1000, 64, 733]
    assert len(set.union(*sets)) == len(labels) == 1797
    assert set(parts.calibration) < set(parts.training)
    assert len(parts.calibration) == 256
    for positions in (parts.validation, parts.training, parts.calibration, parts.timing):
        counts = Counter(labels[p] for p in positions)
        assert max(counts.values()) - min(counts.values()) <= 5  # as the whole set: 174 to 183 a class


def test_the_split_ignores_the_seed() -> None:
    """Another seed must not validate on what the checkpoint was trained on."""
    one, other = (
        open_workload(WorkloadRequest(weights="digits", image_size=32, seed=seed)).data for seed in (0, 1)
    )
    assert one.validation is not None
    assert other.validation is not None
    assert torch.equal(one.validation.read(range(50)), other.validation.read(range(50)))
    assert torch.equal(one.timing(8), other.timing(8))


def test_inputs_have_the_size_type_and_scale_asked_for() -> None:
    """Images are float32, contiguous and normalized; timing repeats its 64 when asked for more."""
    data = open_workload(WorkloadRequest(weights="digits", image_size=40)).data
    assert data.calibration is not None
    assert data.training is not None
    images, labels = next(data.training.batches(700))
    assert images.shape == (700, 3, 40, 40)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    assert abs(float(images.mean())) < 0.1
    assert abs(float(images.std()) - 1) < 0.2
    timing = data.timing(70)
    assert timing.shape == (70, 3, 40, 40)
    assert torch.equal(timing[:6], timing[64:])


def test_digits_data_needs_ten_classes() -> None:
    """A model with 1000 classes can't be validated on digits."""
    with pytest.raises(UsageError, match="ten classes"):
        open_workload(WorkloadRequest("resnet18", "random", "digits", 32))


def test_a_changed_library_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the split is not the one of the training, nothing is validated on training images."""
    monkeypatch.setattr(digits_data, "FINGERPRINT", "another")
    with pytest.raises(InputError, match="densebench train"):
        open_workload(WorkloadRequest(weights="digits", image_size=32))
