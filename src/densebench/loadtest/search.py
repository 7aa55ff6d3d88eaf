"""The highest rate of arrivals that a system holds: doubling, then bisection. Pure: it is told how to try one."""

from __future__ import annotations

import math
from collections.abc import Callable

TOLERANCE = 0.05  # a rate this share above the answer was seen not to hold
MOST_DOUBLINGS = 10
MOST_HALVINGS = 5


def highest_rate(holds: Callable[[float], bool], start: float) -> float | None:
    """The highest rate tried that holds, or None where even 1/32 of `start` doesn't.

    Once a rate that holds and one that doesn't are known, they are brought together to within `TOLERANCE`. Each
    rate is tried once, so where `holds` is noisy the answer is one that held, not one that always will.

    Args:
        holds: try a rate, in queries per second.
        start: the first one tried; the nearer to the answer the fewer tries.

    """
    assert start > 0, "a rate is positive"
    low, high = _bracket(holds, start)
    if low is None or high is None:
        return low
    while high > low * (1 + TOLERANCE):
        middle = math.sqrt(low * high)
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _bracket(holds: Callable[[float], bool], start: float) -> tuple[float | None, float | None]:
    """A rate that holds and one twice as high that doesn't; None for that which was not found."""
    rate = start
    if holds(rate):
        for _ in range(MOST_DOUBLINGS):
            if not holds(2 * rate):
                return rate, 2 * rate
            rate *= 2
        return rate, None
    for _ in range(MOST_HALVINGS):
        rate /= 2
        if holds(rate):
            return rate, 2 * rate
    return None, rate
