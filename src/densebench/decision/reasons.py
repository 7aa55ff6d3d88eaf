"""The limits that a row breaks, and what keeps a recipe from being recommended for its accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from densebench.decision.answer import Reason
from densebench.decision.facts import Facts
from densebench.decision.objective import figure, latency_ms, memory_mb
from densebench.results.record import Row
from densebench.spec import BASELINE, Limits, Objective
from densebench.stats.proportion import images_needed

ROUNDING = 1e-9  # 99.4 - 98.4 must count as 1


def broken_limit(row: Row, facts: Facts, limits: Limits) -> Reason | None:
    """The first limit of latency, memory and size that a row breaks; a figure that isn't known breaks its limit."""
    taken_ms, which = latency_ms(row)
    held: tuple[tuple[Literal["latency", "memory", "size"], float | None, float | None], ...] = (
        ("latency", taken_ms, limits.max_latency_ms),
        ("memory", memory_mb(row), limits.max_memory_mb),
        ("size", facts.fact(row.recipe, "model_size_mb"), limits.max_size_mb),
    )
    for kind, value, limit in held:
        if limit is not None and (value is None or value > limit):
            return Reason(
                kind=kind,
                recipe=row.recipe,
                batch_size=row.batch_size,
                value=value,
                limit=limit,
                which=which if kind == "latency" else "",
            )
    return None


def nearest_miss(rows: Sequence[Row], facts: Facts, limits: Limits, objective: Objective) -> Reason:
    """Of rows that all break a limit, the one that breaks it by the least."""
    reasons = [
        reason.model_copy(update={"figure": figure(row, objective)})
        for row in rows
        if (reason := broken_limit(row, facts, limits))
    ]
    return min(reasons, key=lambda r: math.inf if r.value is None else r.value / (r.limit or 1.0))


def accuracy_reason(facts: Facts, recipe: str, limits: Limits) -> Reason | None:
    """What keeps a recipe from being recommended for its accuracy; None where it is seen to keep the limit.

    By the upper bound of what it lost, where the images are known one by one.
    """
    limit = limits.max_accuracy_drop
    if facts.fact(BASELINE, "accuracy_top1") is None or facts.fact(recipe, "accuracy_top1") is None:
        return Reason(kind="accuracy_unknown", recipe=recipe, limit=limit)
    drop, bound = (facts.fact(recipe, name) for name in ("accuracy_drop_pp", "accuracy_drop_ci_high_pp"))
    if drop is None:
        return Reason(kind="accuracy_unknown", recipe=recipe, limit=limit)
    most = drop if bound is None else bound
    if most <= limit + ROUNDING:
        return None
    reason = Reason(kind="accuracy_lost", recipe=recipe, value=most, observed=drop, limit=limit)
    if drop > limit + ROUNDING:
        return reason
    lost, won = (facts.fact(recipe, name) for name in ("images_lost", "images_won"))
    images = None
    if lost is not None and won is not None:
        images = images_needed(int(lost), int(won), len(facts.labels(recipe)), limit / 100)
    return reason.model_copy(update={"kind": "too_few_images", "images": images})
