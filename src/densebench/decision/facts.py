"""The rows of one environment, looked up by recipe, and put in order by an objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from densebench.decision.objective import better, figure, memory_mb
from densebench.results.observation import Status
from densebench.results.record import Row, recipes_in_order
from densebench.spec import BASELINE, Limits, Objective


@dataclass(frozen=True)
class Facts:
    """The rows of one environment."""

    rows: Sequence[Row]

    @cached_property
    def timed(self) -> tuple[Row, ...]:
        """Rows that ran and have a throughput."""
        return tuple(r for r in self.rows if r.status is Status.OK and r.throughput_samples_per_s)

    @cached_property
    def recipes(self) -> list[str]:
        """Every recipe but the baseline, in the order of the rows."""
        return [name for name in recipes_in_order(self.rows) if name != BASELINE]

    def of(self, recipe: str, sizes: Sequence[int] | None = None) -> list[Row]:
        """The timed rows of a recipe at these batch sizes, by batch size."""
        own = (
            row for row in self.timed if row.recipe == recipe and (sizes is None or row.batch_size in sizes)
        )
        return sorted(own, key=lambda row: row.batch_size)

    def fact(self, recipe: str, column: str) -> float | None:
        """A figure that a recipe has once, at the smallest batch size that has it."""
        own = sorted((r for r in self.rows if r.recipe == recipe), key=lambda row: row.batch_size)
        known: list[float] = [value for row in own if (value := getattr(row, column)) is not None]
        return known[0] if known else None

    def labels(self, recipe: str) -> str:
        """Image by image whether the recipe's first guess is right, empty where that is not known."""
        return next((row.correct_top1 for row in self.rows if row.recipe == recipe and row.correct_top1), "")

    def considered(self, objective: Objective, limits: Limits) -> list[int]:
        """The batch sizes that an objective looks at: the served one, else all for throughput, else the smallest.

        Only those count where the baseline was timed, and with a limit of memory only those where memory is known.
        """
        sizes = [row.batch_size for row in self.of(BASELINE)]
        if limits.serving_batch_size is not None:
            sizes = [size for size in sizes if size == limits.serving_batch_size]
        if limits.max_memory_mb is not None:
            sizes = self._with_memory(sizes)
        return sizes if objective == "throughput" else sizes[:1]

    def narrowed_to(self, objective: Objective, limits: Limits) -> list[int]:
        """The batch sizes that a limit of memory narrows the choice to; none where it shuts out no batch size."""
        found = self.considered(objective, limits)
        every = self.considered(objective, limits.model_copy(update={"max_memory_mb": None}))
        return [] if found == every else found

    def _with_memory(self, sizes: Sequence[int]) -> list[int]:
        """Those where memory is known: of the baseline, else of any recipe; all where it is known at none."""
        of_baseline = {row.batch_size for row in self.of(BASELINE) if memory_mb(row) is not None}
        known = of_baseline or {row.batch_size for row in self.timed if memory_mb(row) is not None}
        return [size for size in sizes if size in known] or list(sizes)


def without_effect(row: Row) -> bool:
    """Whether a row's optimization was seen to change nothing, as the baseline's of course doesn't."""
    return row.effect is not None and bool(row.effect.none_because) and row.recipe != BASELINE


def best_first(rows: Sequence[Row], objective: Objective) -> list[Row]:
    """Rows by the objective's figure, the best first; rows without one last; equal ones by throughput."""
    sign = -1 if objective == "throughput" else 1

    def place(row: Row) -> tuple[bool, float, float]:
        value = figure(row, objective)
        return (value is None, sign * (value or 0.0), -(row.throughput_samples_per_s or 0.0))

    return sorted(rows, key=place)


def is_better(one: Row, other: Row, objective: Objective) -> bool:
    """Whether the first row has the better figure; nothing is known where one of them has none."""
    ours, theirs = figure(one, objective), figure(other, objective)
    return ours is not None and theirs is not None and better(ours, theirs, objective)
