"""The analysis: small rules over the rows, each with the evidence that it rests on, or silent.

No rule names a technique or an engine. What the text says follows from what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from densebench.record import Row
from densebench.report import cost, quality, reliability, roofs, speed
from densebench.report.pareto import undominated
from densebench.report.recommendation import faster_but_refused, recommendations
from densebench.report.stalls import stalls
from densebench.report.sweep import Finding, Rule, Sweep, apply

PERFORMANCE: tuple[Rule, ...] = (
    speed.overall,
    speed.by_batch_size,
    speed.latency,
    speed.saturation,
    roofs.ceiling,
    roofs.lower,
    roofs.reached,
    speed.no_difference,
    speed.too_noisy,
    speed.slower,
    quality.no_effect,
    speed.zeros,
)
TRADE_OFFS: tuple[Rule, ...] = (
    faster_but_refused,
    undominated,
    quality.accuracy,
    quality.large_loss,
    quality.unlabelled,
    quality.fidelity,
    cost.file_size,
    cost.memory,
    cost.start_up,
    cost.caveats,
)
LIMITS: tuple[Rule, ...] = (
    reliability.unfinished,
    reliability.no_intervals,
    reliability.no_baseline,
    reliability.no_accuracy,
    reliability.unstable,
    reliability.left_out,
    reliability.fresh_memory,
    reliability.no_turns,
    reliability.wide,
    stalls,
)
KEY: tuple[Rule, ...] = (speed.overall, speed.latency, cost.file_size, quality.no_effect)  # for a summary


def analyse(rows: Sequence[Row], max_accuracy_drop: float = 1.0) -> list[Finding]:
    """All findings: the recommendation first, then performance, trade-offs and limits.

    Args:
        rows: a run's rows, failed and skipped ones too.
        max_accuracy_drop: what a recommended recipe may lose of top-1, in percentage points.

    """
    sweep = Sweep(tuple(rows), max_accuracy_drop)
    advice = [one for group in recommendations(sweep) for one in group]
    return [
        *advice,
        *apply(PERFORMANCE + TRADE_OFFS, sweep),
        *limits(sweep),
        *apply((reliability.missing,), sweep),
    ]


def limits(sweep: Sweep) -> list[Finding]:
    """What the run can't tell: that its environments can't be compared, if it has several, and what each lacks."""
    return [*reliability.machines(sweep), *apply(LIMITS, sweep)]
