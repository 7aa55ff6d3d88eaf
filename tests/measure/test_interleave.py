"""Pairs of slices of two processes: in which order, how many, and none if one stops answering."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.machine.interference import Interference
from densebench.measure.interleave import LEAST_PAIRS, TimedPair, affordable, interleave, pair_count
from densebench.measure.reference import Reply
from densebench.measure.timer import MOST_SLICES, Slice


class Two:
    """Both processes: each slice takes the next of the times; the reference process answers so often."""

    def __init__(self, times_ms: Iterator[float], answers: int = 100) -> None:
        self._times_ms = times_ms
        self._answers = answers
        self.order = ""

    def own(self) -> Slice:
        """A slice of the measured process."""
        self.order += "A"
        return Slice((next(self._times_ms),))

    def reference(self) -> Reply | None:
        """A slice of the reference process."""
        if self.order.count("B") == self._answers:
            return None
        self.order += "B"
        return Reply(calls_ms=(next(self._times_ms),))


def test_a_machine_that_gets_slower_steadily_changes_nothing() -> None:
    """Each slice takes 3 % longer than the one before: in the order ABBA the ratio comes out as it is."""
    two = Two(10.0 * 1.03**number for number in range(100))
    pairs = interleave(two.own, two.reference, 6)
    assert two.order == "BAABBAABBAAB"
    logs = [math.log(pair.reference.calls_ms[0] / pair.own.calls_ms[0]) for pair in pairs]
    assert len(logs) == 6
    assert sum(logs) == pytest.approx(0)


@pytest.mark.parametrize("answers", range(4))
def test_there_are_no_pairs_if_the_reference_process_stops_answering(answers: int) -> None:
    """The process is measured alone then, for as long as others are."""
    two = Two(iter([10.0] * 20), answers)
    assert interleave(two.own, two.reference, 4) == []
    assert two.order.count("B") == answers


@pytest.mark.parametrize(
    ("call_s", "pairs"), [(0.001, 12), (0.05, 12), (0.06, 10), (0.1, 6), (0.2, 4), (10.0, 4)]
)
def test_pairs_fill_the_seconds_and_are_four_at_least(call_s: float, pairs: int) -> None:
    """Of long calls four are enough."""
    assert pair_count(call_s, 0.6) == pairs


@given(st.floats(1e-6, 100), st.floats(0, 100))
def test_the_number_of_pairs_is_even(call_s: float, seconds: float) -> None:
    """So that as many begin with the one as with the other, and there are never more than slices."""
    count = pair_count(call_s, seconds)
    assert count % 2 == 0
    assert LEAST_PAIRS <= count <= MOST_SLICES


def test_pairs_take_a_quarter_of_the_limit_at_most() -> None:
    """Each slice follows a call that doesn't count; a process that is slower is measured alone."""
    assert affordable(3.75, 4, 120)
    assert not affordable(3.76, 4, 120)
    assert not affordable(3.75, 6, 120)


def test_a_pair_is_disturbed_where_either_slice_is() -> None:
    """Whichever process it was that was held up."""
    backup, update = (
        Interference(kind="others", text="a backup"),
        Interference(kind="steal", text="an update"),
    )
    pair = TimedPair(Slice((1.0,), (backup,)), Reply(calls_ms=(1.0,), interference=(update,)))
    assert pair.interference == (backup, update)
