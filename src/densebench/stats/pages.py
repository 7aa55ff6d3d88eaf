"""How much of what processes differ by is memory that they give back to the kernel and take anew at each call.

An allocator returns freed memory by rules that depend on how it happens to lie (glibc: mallopt(3), M_TRIM_THRESHOLD
and M_MMAP_THRESHOLD), and the kernel clears each page that it hands out again. So processes of one artifact settle at
different numbers of page faults a call, and at different times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from scipy.stats import t as student

LEAST_PAGES = 256  # of a call; with fewer, 1 MB, there is nothing to explain
LEAST_SPREAD = 0.05  # of the mean: below it a row's processes are alike
SURE = 0.01  # chance of a line that is as steep where there is none

Process = tuple[float, float]  # mean milliseconds of a call, and its page faults


@dataclass(frozen=True)
class Explained:
    """What a page costs, and the share of the variance within rows that pages explain."""

    us_a_page: float
    share: float


def varies(processes: Sequence[Process]) -> bool:
    """Whether a row's processes differ in the memory that they take anew."""
    faults = [each for _, each in processes]
    return bool(faults) and fmean(faults) >= LEAST_PAGES and pstdev(faults) > LEAST_SPREAD * fmean(faults)


def explained(rows: Sequence[Sequence[Process]]) -> Explained | None:
    """A straight line of times over page faults, with the same slope in each row; None where it may be chance.

    Rows weigh by their speed: processes scatter by a share of their time, so a slow row's milliseconds tell less.

    Args:
        rows: the processes of each row; all rows of one batch size, as a page costs the same in each.

    """
    pairs = [pair for row in rows for pair in _deviations(row)]
    degrees = len(pairs) - len(rows) - 1
    xx, xy, yy = (sum(x * x for x, _ in pairs), sum(x * y for x, y in pairs), sum(y * y for _, y in pairs))
    if degrees < 1 or not xx or not yy:
        return None
    share = xy**2 / (xx * yy)
    steepness = math.inf if share >= 1 else math.sqrt(degrees * share / (1 - share))
    if xy <= 0 or 2 * student.sf(steepness, degrees) > SURE:
        return None
    return Explained(us_a_page=1000 * xy / xx, share=share)


def _deviations(row: Sequence[Process]) -> list[tuple[float, float]]:
    """Of page faults and of milliseconds from the row's means, both in shares of its mean time."""
    mean_ms, mean_faults = fmean(ms for ms, _ in row), fmean(faults for _, faults in row)
    return [((faults - mean_faults) / mean_ms, (ms - mean_ms) / mean_ms) for ms, faults in row]
