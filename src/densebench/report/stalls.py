"""The rule about speed-ups that mean times would make others: where calls now and then take much longer than usual.

A speed-up is that of a process's usual turns, in which slow spells of the machine have no part. Nor would stalls of
the model's own, so mean times, which throughput follows from, are held against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from densebench.record import BASELINE, Row
from densebench.report.sweep import Finding, Sweep, finding
from densebench.stats.comparison import CONFIDENCE_LOOKED, Block, blocks, log_ratio_of_means, speedup
from densebench.stats.samples import CONFIDENCE
from densebench.wording import short


def stalls(sweep: Sweep) -> Iterator[Finding]:
    """Speed-ups whose interval has nothing in common with that of mean times."""
    for row in sweep.timed:
        usual, by_mean = row.speedup, _by_mean(sweep, row)
        if usual is None or by_mean is None:
            continue
        low, high = by_mean
        whose = row.recipe if high < usual else "the baseline"
        said = (
            f"By mean times the speed-up of {row.recipe} at batch {row.batch_size} is {short(low)}x to "
            f"{short(high)}x, not the {short(usual)}x of its usual turns: now and then calls of {whose} take much "
            "longer than the others."
        )
        yield finding("limits", said, [row])


def _by_mean(sweep: Sweep, row: Row) -> tuple[float, float] | None:
    """The interval by mean times, where it lies apart from the row's own."""
    baseline = next((one for one in sweep.at(row.batch_size) if one.recipe == BASELINE), None)
    if baseline is None or row is baseline or not row.turns:
        return None
    confidence = CONFIDENCE_LOOKED if row.adaptive else CONFIDENCE
    found = speedup(_blocks(row), _blocks(baseline), confidence)
    if found is None or found.low is None or found.high is None:
        return None
    own_low, own_high = row.speedup_ci_low or 0.0, row.speedup_ci_high or math.inf
    return (found.low, found.high) if found.high < own_low or found.low > own_high else None


def _blocks(row: Row) -> list[Block]:
    rounds = row.rounds or range(len(row.samples_ms))
    return blocks(row.samples_ms, rounds, row.beside_ms, row.turns, log_ratio_of_means)
