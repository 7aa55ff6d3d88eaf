"""Accuracy against labels, and agreement with the baseline, from logits made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from densebench.measure import accuracy as module
from densebench.measure.accuracy import Accuracy, Outputs, accuracy, agreement
from densebench.workloads.base import ImageSet

CLASSES = 8


class HandMade:
    """Answers for image i, whose pixels are all i, with the logits in row i."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return self.logits[images[:, 0, 0, 0].long()]

    def effect(self, images: Tensor) -> str:
        return "none: made by hand"

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
