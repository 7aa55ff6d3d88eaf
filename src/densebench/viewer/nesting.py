"""Which call lies inside which, and how much of its time is its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Nesting(NamedTuple):
    """For each event: the one around it (-1: none), how many are around it, and its time without those inside."""

    parents: list[int]
    depths: list[int]
    own: list[int]


def nest(starts: Sequence[int], ends: Sequence[int]) -> Nesting:
    """The nesting of one lane's events, sorted by start and, at the same start, the longest first.

    At each moment the time belongs to the event that began last and still runs, so own times add up to the
    time that any event covers, also where events overlap without one lying inside the other (rounding, several
    streams). Two events of the same depth never overlap.
    """
    parents, depths = [-1] * len(starts), [0] * len(starts)
    own = [end - start for start, end in zip(starts, ends, strict=True)]
    running: list[int] = []
    for event, (start, end) in enumerate(zip(starts, ends, strict=True)):
        while running and ends[running[-1]] <= start:
            running.pop()
        if running:
            parents[event], depths[event] = running[-1], len(running)
        covered = start
        for outer in reversed(running):
            until = min(end, ends[outer])
            if until > covered:
                own[outer] -= until - covered
                covered = until
            if covered >= end:
                break
        running.append(event)
    return Nesting(parents, depths, own)
