"""Accuracy against labels, and agreement with the baseline, from logits made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from densebench.measure import accuracy as module
from densebench.measure.accuracy import Accuracy, Outputs, accuracy, agreement, subset
from densebench.processes import messages
from densebench.schema import Effect
from densebench.worker import jobs as worker
from densebench.workloads.base import ImageSet, Splits
from tests.small import tiny_workload

CLASSES = 8


class HandMade:
    """Answers for image i, whose pixels are all i, with the logits in row i."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return self.logits[images[:, 0, 0, 0].long()]

    def effect(self, images: Tensor) -> Effect:
        return Effect(none_because="made by hand")

    def close(self) -> None:
        pass


def ranked(*classes: Sequence[int]) -> Tensor:
    """Logits whose order of classes, best first, is as given."""
    logits = torch.full((len(classes), CLASSES), -9.0)
    for row, order in enumerate(classes):
        for place, index in enumerate(order):
            logits[row, index] = float(-place)
    return logits


def image_set(labels: Sequence[int]) -> ImageSet:
    """Images whose pixels are all their position, with these labels."""
    return ImageSet(
        tuple(labels), lambda at: torch.tensor(list(at)).float().reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    )


def measured(logits: Tensor, labels: Sequence[int], batch_size: int) -> tuple[Accuracy, HandMade]:
    """The accuracy of a session made by hand, without a limit of time."""
    session = HandMade(logits)
    found = accuracy(session, image_set(labels), "cpu", batch_size, math.inf)
    assert isinstance(found, Accuracy)
    return found, session


LOGITS = ranked(
    [0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0], [7, 6, 5, 4, 3, 2], [3, 0, 1, 2, 4, 5]
)
LABELS = (0, 0, 0, 3, 5)  # first guess; second; sixth; fifth; sixth


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 16])
def test_first_and_first_five_guesses(batch_size: int) -> None:
    """One of five right at the first guess, three within five, at any batch size; image by image too."""
    found, _ = measured(LOGITS, LABELS, batch_size)
    assert found.top1 == pytest.approx(20)
    assert found.top5 == pytest.approx(60)
    assert found.correct == "10000"
    assert found.outputs.top1.tolist() == [0, 1, 1, 7, 3]
    assert torch.equal(found.outputs.logits, LOGITS)


def test_the_session_sees_one_batch_size() -> None:
    """The last batch is filled up, so that nothing compiles anew; what fills it is not counted."""
    found, session = measured(LOGITS, LABELS, 3)
    assert set(session.sizes) == {3}
    assert len(found.correct) == len(found.outputs.top1) == len(LABELS)


def test_fewer_images_than_a_batch() -> None:
    """Images are repeated as often as it takes."""
    found, session = measured(LOGITS, LABELS, 16)
    assert session.sizes == [16]
    assert len(found.correct) == 5


def test_fewer_classes_than_five() -> None:
    """With three classes all of them are among the first guesses."""
    found, _ = measured(torch.tensor([[0.0, 1.0, 2.0]]), [0], 1)
    assert (found.top1, found.top5) == (0, 100)


def test_few_logits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every first guess is kept, and the logits of the first images only."""
    monkeypatch.setattr(module, "SQNR_IMAGES", 3)
    found, _ = measured(LOGITS, LABELS, 2)
    assert torch.equal(found.outputs.logits, LOGITS[:3])
    assert len(found.outputs.top1) == 5


class Clock:
    """Moves on by so many seconds each time a session is called."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self.now, self.steps = 0.0, iter(seconds)

    def perf_counter(self) -> float:
        return self.now


class Slow(HandMade):
    """Takes the clock's next step for each batch."""

    def __init__(self, logits: Tensor, clock: Clock) -> None:
        super().__init__(logits)
        self.clock = clock

    def __call__(self, images: Tensor) -> Tensor:
        self.clock.now += next(self.clock.steps)
        return super().__call__(images)


def test_too_slow_is_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first three batches, which may compile, one more predicts the rest: 97 batches of 2 s."""
    clock = Clock([50, 1, 1, 2] + [1e9] * 96)
    monkeypatch.setattr(module, "time", clock)
    session = Slow(LOGITS[:1].expand(200, -1), clock)
    found = accuracy(session, image_set([0] * 200), "cpu", 2, 100.0)
    assert found == pytest.approx(97 * 2)
    assert len(session.sizes) == 4


def test_slow_from_the_start_is_seen_after_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated arithmetic: the second batch takes as long as the first, so nothing was compiled and all will."""
    clock = Clock([27.0, 26.0] + [1e9] * 30)
    monkeypatch.setattr(module, "time", clock)
    session = Slow(LOGITS[:1].expand(64, -1), clock)
    found = accuracy(session, image_set([0] * 64), "cpu", 2, 300.0)
    assert found == pytest.approx(29 * 26)
    assert len(session.sizes) == 2


def test_fast_enough_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction within the limit costs nothing, whatever the first three batches took."""
    clock = Clock([1000, 500, 100] + [1.0] * 7)
    monkeypatch.setattr(module, "time", clock)
    session = Slow(LOGITS[:1].expand(20, -1), clock)
    found = accuracy(session, image_set([0] * 20), "cpu", 2, 7.5)
    assert isinstance(found, Accuracy)
    assert found.top1 == 100


@pytest.mark.parametrize(("count", "total"), [(1, 9), (4, 9), (8, 9), (9, 9), (20, 9)])
def test_a_subset_is_the_same_for_every_recipe(count: int, total: int) -> None:
    """Seed and count alone choose the images, which keep their order and labels; no other image is read."""
    read: list[int] = []

    def noted(positions: Sequence[int]) -> Tensor:
        read.extend(positions)
        return torch.tensor(list(positions)).float().reshape(-1, 1, 1, 1)

    images = ImageSet(tuple(range(100, 100 + total)), noted)
    taken = subset(images, count, seed=3)
    seen = [
        (int(image), int(label)) for batch in taken.batches(2) for image, label in zip(*batch, strict=True)
    ]
    assert len(taken) == len(seen) == len(set(seen)) == min(count, total)
    assert seen == sorted(seen)
    assert all(label == 100 + image for image, label in seen)
    assert read == [image for image, _ in seen]
    assert subset(images, count, seed=3).labels == taken.labels
    others = {subset(images, count, seed=seed).labels for seed in range(9)}
    assert (len(others) > 1) == (count < total)


class Evaluations:
    """Evaluates recipes of any speed on the same images with the same limit, each batch at so many seconds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, total: int) -> None:
        labels = [position % CLASSES for position in range(total)]
        data = Splits("numbers", None, image_set(labels), torch.zeros)
        workload = replace(tiny_workload(), data=data)
        self.folder, self.monkeypatch = folder, monkeypatch
        self.logits = ranked(*([label] if label % 2 else [7] for label in labels))
        monkeypatch.setattr(worker, "_open", lambda job: workload)

    def quality(self, batch_s: float, images: int, **changes: Any) -> dict[str, Any]:
        """What an evaluation finds out about accuracy, within 100 seconds."""
        clock = Clock([batch_s] * 10_000)
        self.monkeypatch.setattr(module, "time", clock)
        facts: dict[str, Any] = {
            "folder": self.folder,
            "device": "cpu",
            "threads": 1,
            "trust": False,
            "workload": messages.WorkloadJob(
                model="tiny", weights="tiny", data="none", image_size=16, seed=5
            ),
            "batch_size": 2,
            "reference": self.folder / "reference",
            "is_reference": False,
            "seconds": 100.0,
            "images": images,
        }
        return worker._accuracy(messages.Evaluate(**facts | changes), Slow(self.logits, clock))


@pytest.fixture
def evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    """Of 1,000 images, which take a second for each two at the baseline's speed: 500 s."""
    return Evaluations(tmp_path, monkeypatch, 1000)


def test_a_slow_baseline_is_measured_on_fewer_images(evaluations: Evaluations) -> None:
    """Where all images take too long, a part is taken that fits, with room for slower recipes on the same images."""
    baseline = evaluations.quality(1.0, 1000, is_reference=True, may_take_fewer=True)
    used = len(baseline["correct_top1"])
    assert 0 < used < 200
    assert baseline["validation_images"] == 1000
    assert baseline["all_images_s"] == pytest.approx(500, rel=0.05)
    assert baseline["accuracy_top1"] == pytest.approx(50, abs=15)
    slower = evaluations.quality(1.5, used)
    assert slower["correct_top1"] == baseline["correct_top1"]
    assert slower["top1_agreement"] == 1
    (evaluations.folder / "reference").unlink()
    assert evaluations.quality(0.01, used)["correct_top1"] == baseline["correct_top1"]


def test_a_recipe_too_slow_for_the_baselines_images_says_so(evaluations: Evaluations) -> None:
    """It is not measured on other images; the reason has the number of images and their time."""
    found = evaluations.quality(9.0, 100)
    assert found["reason"].startswith("accuracy not measured: 100 images would take about 4")
    assert "accuracy_top1" not in found


def test_a_fast_baseline_sees_every_image(evaluations: Evaluations) -> None:
    """Where all fit, all are taken; where fewer are asked for, as many as were asked for."""
    for asked in (1000, 300):
        found = evaluations.quality(0.001, asked, is_reference=True, may_take_fewer=True)
        assert len(found["correct_top1"]) == asked
        assert "all_images_s" not in found


def test_outputs_of_other_images_are_not_compared(evaluations: Evaluations) -> None:
    """A file that an evaluation on another number of images left behind gives no agreement."""
    evaluations.quality(0.001, 300, is_reference=True)
    assert "top1_agreement" not in evaluations.quality(0.001, 200)


def test_agreement_with_the_baseline() -> None:
    """The share of equal first guesses, and the logits' ratio of signal to noise in dB."""
    reference = Outputs(torch.tensor([0, 1, 2, 3]), torch.tensor([[10.0, 0.0], [0.0, 10.0]]))
    other = Outputs(torch.tensor([0, 1, 2, 0]), torch.tensor([[10.0, 1.0], [1.0, 10.0]]))
    assert agreement(reference, reference) == (1.0, None)
    same, sqnr = agreement(other, reference)
    assert same == 0.75
    assert sqnr == pytest.approx(20)


def test_outputs_are_kept_in_a_file(tmp_path: Path) -> None:
    """What the baseline said comes back from its file as it was, which appears whole."""
    outputs, _ = measured(LOGITS, LABELS, 2)
    outputs.outputs.write(tmp_path / "reference")
    assert list(tmp_path.iterdir()) == [tmp_path / "reference"]
    back = Outputs.read(tmp_path / "reference")
    assert torch.equal(back.top1, outputs.outputs.top1)
    assert torch.equal(back.logits, outputs.outputs.logits)
