"""Sweeps made by hand for the tests of the decision: speeds, accuracies and limits in; rows and confirmations out."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from densebench.decision import Confirmation, Decision, decide
from densebench.results.derive import derive
from densebench.results.record import Record, Row
from densebench.schema import Effect
from densebench.spec import BASELINE, Limits, Objective
from tests.factory import record

Speeds = Mapping[str, Mapping[int, float]]  # recipe -> batch size -> images a second
RIGHT = "1" * 750 + "0" * 250  # 1,000 images: a loss of none of them is bounded by 0.27 points
ROUNDS = 6


def cell(
    recipe: str, size: int, speed: float, *, scatter: float = 0.01, first_round: int = 0, **changes: Any
) -> Record:
    """A cell of six rounds whose mean is `speed` images a second, each process off by a part of the scatter."""
    draw = random.Random(f"{recipe} {size} {first_round}")
    ways = [draw.gauss(0, scatter) for _ in range(ROUNDS)]
    samples = tuple((1000 * size / speed * math.exp(way - fmean(ways)),) * 12 for way in ways)
    facts: dict[str, Any] = {
        "correct_top1": RIGHT,
        "accuracy_top1": 75.0,
        "accuracy_top5": 90.0,
        "top1_agreement": 1.0,
    }
    facts |= {
        "effect": Effect(seen=("as named",)) if recipe != BASELINE else None,
        "artifact": f"models/{recipe}",
    }
    facts |= {"samples_ms": samples, "rounds": tuple(range(first_round, first_round + ROUNDS))}
    return record(recipe=recipe, batch_size=size, **(facts | changes))


def rows_of(
    speeds: Speeds, facts: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any
) -> list[Row]:
    """Rows of a sweep; `facts` by recipe, `changes` for all."""
    return derive(
        cell(recipe, size, speed, **(changes | dict((facts or {}).get(recipe, {}))))
        for recipe, by_size in speeds.items()
        for size, speed in by_size.items()
    )


def fresh(speeds: Speeds, **changes: Any) -> list[Record]:
    """The confirmation's records of these cells."""
    return [
        cell(recipe, size, speed, first_round=100, stage="confirmation", **changes)
        for recipe, by_size in speeds.items()
        for size, speed in by_size.items()
    ]


def decided(
    speeds: Speeds,
    again: Speeds | None = None,
    objective: Objective = "throughput",
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    **limits: Any,
) -> Decision:
    """The decision over a sweep that was confirmed by `again`, which is the sweep itself if not given."""
    confirmation = Confirmation.of(fresh(speeds if again is None else again))
    return decide(rows_of(speeds, facts), confirmation, objective, Limits(**limits))


def reason_of(decision: Decision, recipe: str) -> str:
    """The kind of the reason against a recipe."""
    return next(one.kind for one in decision.reasons if one.recipe == recipe)


def labels(right: int, images: int = 1000) -> str:
    """So many images right, the first ones."""
    return "1" * right + "0" * (images - right)


def names(rows: Sequence[Row]) -> list[str]:
    """The recipes of rows."""
    return [row.recipe for row in rows]
