"""The analysis: small rules over the rows, each with the evidence that it rests on, or silent.

No rule names a technique or an engine. What the text says follows from what was measured.
"""

from __future__ import annotations

from densebench.report import cost, lists, quality, reliability, roofs, speed
from densebench.report.pareto import undominated
from densebench.report.recommendation import recommendations
from densebench.report.refusals import refused
from densebench.report.sweep import Finding, Rule, Sweep, apply

SHOWN = 5  # findings of a topic that a reader sees at once; the rest is folded away
PERFORMANCE: tuple[Rule, ...] = (  # what a reader should know comes first
    speed.by_batch_size,
    lists.overview,
    quality.no_effect,
    speed.latency,
    speed.precision_share,
    speed.slow_down,
    roofs.ceiling,
    speed.overall,
    speed.saturation,
    roofs.above,
    roofs.lower,
    roofs.reached,
    lists.faster,
    lists.slower,
    lists.no_difference,
    lists.not_told_apart,
    lists.correction,
    speed.zeros,
)
TRADE_OFFS: tuple[Rule, ...] = (
    quality.large_loss,
    refused,
    quality.accuracy,
    quality.unlabelled,
    cost.file_size,
    cost.memory,
    cost.start_up,
    undominated,
    quality.fidelity,
    cost.own_throughput,
    cost.caveats,
)
LIMITS: tuple[Rule, ...] = (
    reliability.unfinished,
    reliability.no_intervals,
    reliability.no_baseline,
    reliability.no_accuracy,
    reliability.fewer_images,
    reliability.unstable,
    reliability.left_out,
    reliability.power_limit,
    reliability.fresh_memory,
    reliability.no_pairs,
    reliability.wide,
    reliability.added_rounds,
)
KEY: tuple[Rule, ...] = (speed.overall, speed.latency, cost.file_size)  # for a summary


def analyse(sweep: Sweep) -> list[Finding]:
    """All findings: the recommendation first, then performance, trade-offs and limits."""
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
