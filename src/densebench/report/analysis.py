"""The analysis: small rules over the rows, each with the evidence that it rests on, or silent.

No rule names a technique or an engine. What the text says follows from what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from densebench.record import Row
from densebench.report import cost, quality, reliability, speed
from densebench.report.pareto import undominated
from densebench.report.recommendation import faster_but_refused, recommend
from densebench.report.sweep import Finding, Sweep

Rule = Callable[[Sweep], Iterator[Finding]]

PERFORMANCE: tuple[Rule, ...] = (
    speed.overall,
    speed.by_batch_size,
    speed.latency,
    speed.saturation,
    speed.ceiling,
    speed.roofs,
    speed.no_clear_difference,
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
    reliability.machines,
    reliability.no_intervals,
    reliability.no_baseline,
    reliability.no_accuracy,
    reliability.unstable,
    reliability.left_out,
    reliability.no_turns,
    reliability.missing,
)
KEY: tuple[Rule, ...] = (speed.overall, speed.latency, cost.file_size, quality.no_effect)  # for a summary


def analyse(rows: Sequence[Row], max_accuracy_drop: float = 1.0) -> list[Finding]:
    """All findings: the recommendation first, then performance, trade-offs and limits.

    Args:
        rows: a run's rows, failed and skipped ones too.
        max_accuracy_drop: what a recommended recipe may lose of top-1, in percentage points.

    """
    sweep = Sweep(tuple(rows), max_accuracy_drop)
    return recommend(sweep) + apply(PERFORMANCE + TRADE_OFFS + LIMITS, sweep)


def apply(rules: Sequence[Rule], sweep: Sweep) -> list[Finding]:
    """The findings of some rules, in their order."""
    return [finding for rule in rules for finding in rule(sweep)]
