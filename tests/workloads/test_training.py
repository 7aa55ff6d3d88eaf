"""Training the embedded checkpoints again: small, but for real."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from densebench.errors import UsageError
from densebench.workloads import digits_data, training
from densebench.workloads.checkpoint_writing import write_checkpoint
from densebench.workloads.digits import open_digits_weights
from densebench.workloads.schedule import Stage
from densebench.workloads.training import Plan, Progress, train

TINY = {"digits-tiny": Plan((Stage((32,), 8, 2), Stage((32,), 8, 1, settled=True)), 1e-3, {32: 0.0})}


def test_training_writes_a_checkpoint_that_opens(tmp_path: Path) -> None:
    """A few steps give a whole file with its metadata, progress with time left, and nothing beside it."""
    seen: list[Progress] = []
    (trained,) = train(tmp_path, seed=3, progress=seen.append, plans=TINY)
    assert [p.step for p in seen] == [1, 2, 3]
    assert seen[-1].seconds_left == 0
    assert "step 3 of 3" in str(seen[-1])
    assert "top-1" in str(trained)
    assert [p.name for p in tmp_path.iterdir()] == ["digits-tiny.safetensors"]
    weights = open_digits_weights("densenet121", 32, tmp_path)
    assert weights.image_sizes == (32,)
    assert weights.label == "digits"
    with safe_open(trained.path, framework="pt") as file:
        assert file.metadata()["seed"] == "3"
        assert file.get_tensor("classifier.weight").dtype == torch.float16


def test_the_same_seed_trains_the_same_network() -> None:
    """Two trainings from one seed end with the same weights, and another seed with others."""
    images, labels = digits_data.load_images()
    plan = TINY["digits-tiny"]
    first, again, other = (training.fit(plan, images, labels, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full at the end, the old checkpoint stays as it was."""
    old = tmp_path / "digits-tiny.safetensors"
    old.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(old, {"weight": torch.zeros(3)}, {})
    assert [p.name for p in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == b"old"


def test_only_a_known_checkpoint_can_be_trained(tmp_path: Path) -> None:
    """A name that is no checkpoint is answered with those that are."""
    with pytest.raises(UsageError, match="digits-small"):
        train(tmp_path / "new", only="digits-medium")
    assert not (tmp_path / "new").exists()


def test_training_images_are_the_training_split_only() -> None:
    """No batch of any plan holds an image that is validated or timed."""
    _, labels = digits_data.load_images()
    parts = digits_data.split(labels)
    for plan in training.PLANS.values():
        batches = training.batches(plan.stages, parts.training, torch.Generator().manual_seed(0))
        used = {position for _, positions, _ in batches for position in positions}
        assert used == set(parts.training)


def test_distortion_keeps_the_digit_in_place() -> None:
    """Distorted images are scaled and normalized as the undistorted ones, and stay much like them."""
    images, _ = digits_data.load_images()
    plain = digits_data.scale(images[:64], digits_data.preprocessing(32))
    bent = training.distort(images[:64], 32, torch.Generator().manual_seed(0))
    assert bent.shape == plain.shape
    likeness = torch.corrcoef(torch.stack([plain.flatten(), bent.flatten()]))[0, 1]
    assert 0.7 < float(likeness) < 0.999
