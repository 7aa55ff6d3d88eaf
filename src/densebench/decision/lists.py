"""Which recipes are faster than the baseline, and which are slower: lists that hold for all their entries at once.

A row's own interval is for that row. Among many rows some verdicts are wrong by chance, so a list asks for more: one
entry a recipe, by Student's t over rounds, with Bonferroni's correction over the recipe's batch sizes and Holm's over
the recipes. Three rounds tell a variance too badly for that, so a recipe is tested where it has the most rounds: at
the focus batch sizes, if it was measured there. Variances are not shrunk over the recipes (moderated t, Smyth 2004):
recipes scatter unlike one another, and those that scatter most would be listed by mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from densebench.decision.facts import Facts
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.stats.one_sample import p_not_above
from densebench.stats.samples import CONFIDENCE
from densebench.stats.speedup import log_ratios
from densebench.stats.two_runs import rejected

Way = Literal["faster", "slower"]


@dataclass(frozen=True)
class Listed:
    """A recipe of a list, with its rows where the speed-up is highest and lowest."""

    recipe: str
    best: Row
    worst: Row


def listed(rows: Sequence[Row], way: Way) -> list[Listed]:
    """The recipes that are surely faster, or surely slower, than the baseline at some batch size.

    The chance that a list holds any recipe that is not is 2.5 % at most, so that of both lists together is 5 %.
    Recipes with one process a row are in neither.

    Args:
        rows: a sweep's rows of one environment.
        way: which of the two lists.

    """
    facts = Facts(rows)
    p_values = {recipe: p for recipe in facts.recipes if (p := _p_value(facts, recipe, way)) is not None}
    fallen = rejected(list(p_values.values()), (1 - CONFIDENCE) / 2)
    return [entry(facts, recipe) for recipe, sure in zip(p_values, fallen, strict=True) if sure]


def entry(facts: Facts, recipe: str) -> Listed:
    """A recipe at its best and at its worst batch size by the speed-up."""
    compared = [row for row in facts.of(recipe) if row.speedup is not None]
    ranked = sorted(compared, key=lambda row: row.speedup or 0.0)
    return Listed(recipe, ranked[-1], ranked[0])


def _p_value(facts: Facts, recipe: str, way: Way) -> float | None:
    """How likely so clear a difference is at any of the recipe's batch sizes if there is none.

    None without replicates. A row that is `same` differs by no more than 3 %, however surely, so it is no evidence.
    """
    sign = 1.0 if way == "faster" else -1.0
    logs = {row.key: found for row in facts.of(recipe) if len(found := _logs(facts, row)) > 1}
    most = max(map(len, logs.values()), default=0)
    tested = [row for row in facts.of(recipe) if len(logs.get(row.key, ())) == most]
    p_values = [
        1.0 if row.verdict == "same" else p_not_above([sign * value for value in logs[row.key]])
        for row in tested
        if row.key in logs
    ]
    return min(1.0, len(p_values) * min(p_values)) if p_values else None


def _logs(facts: Facts, row: Row) -> list[float]:
    """One logarithm of the speed-up for each round that the baseline was measured in too."""
    baseline = facts.of(BASELINE, [row.batch_size])
    return log_ratios(row.processes_by_round, baseline[0].processes_by_round) if baseline else []
