"""Pairs of slices, one of the measured process and one of the reference process, in the order ABBA.

On a shared machine speed changes by a tenth within a second. Slices that take turns meet the same changes, which
cancel in their ratio (`benchmarks/scatter.py`). In the order ABBA what changes steadily cancels too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from densebench.machine.interference import Interference
from densebench.measure.reference import Reply
from densebench.measure.timer import Slice, slice_count

LEAST_PAIRS = 4
SHARE = 0.25  # of a process's time limit that pairs may take


@dataclass(frozen=True)
class TimedPair:
    """Two slices, one right after the other."""

    own: Slice
    reference: Reply

    @property
    def interference(self) -> tuple[Interference, ...]:
        return (*self.own.interference, *self.reference.interference)


def pair_count(call_s: float, sample_s: float) -> int:
    """How many pairs every process has at a batch size, decided once for both sides: an even number.

    Pairs of short calls fill the seconds of sampling. Of long calls four are enough: what is left of the error is
    smaller than the difference between processes.

    Args:
        call_s: seconds of one call of the baseline.
        sample_s: seconds of sampling of each process.

    """
    return max(LEAST_PAIRS, 2 * math.ceil(slice_count(call_s, sample_s) / 2))


def affordable(shortest_s: float, count: int, limit_s: float) -> bool:
    """Whether so many of the shortest slices, each after an untimed one, take a small part of the limit."""
    return 2 * count * shortest_s <= SHARE * limit_s


def interleave(
    own: Callable[[], Slice], reference: Callable[[], Reply | None], count: int
) -> Sequence[TimedPair]:
    """So many pairs; none if the reference process stops answering, and the process is measured without."""
    pairs: list[TimedPair] = []
    for number in range(count):
        ours = own() if number % 2 else None
        theirs = reference()
        if theirs is None:
            return []
        pairs.append(TimedPair(own() if ours is None else ours, theirs))
    return pairs
