"""The plan of a sweep: build and evaluate each recipe, time them all in rounds, and confirm the choice.

A pure function of what was asked for and of what was observed so far. A resume is the same call on observations that
are there already. A round that was cut short is planned again; no finished build, evaluation or whole round is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from densebench.decision.contest import contend
from densebench.planners.tasks import Build, Evaluate, Process, Round, Task
from densebench.recipes.recipe import Recipe
from densebench.results.assemble import records
from densebench.results.current import Cell, current
from densebench.results.derive import derive
from densebench.results.missing import Known
from densebench.results.observation import (
    EvaluateObservation,
    Observation,
    Stage,
    Status,
)
from densebench.results.record import Row
from densebench.spec import BASELINE, BASELINE_PROCESSES, RunSpec

TRACE_TRIES = 2


@dataclass(frozen=True)
class Request:
    """What a sweep was asked for.

    Attributes:
        spec: batch sizes, rounds and limits.
        recipes: the baseline first.
        device: `cpu` or `cuda`.
        identity: what all records share.
        impossible: recipes that can't run here, and why.
        lost: recipes that were built by a part of the run that is over, and whose artifact is gone or damaged.
        since: how many observations are of parts of the run that are over: what failed there is tried again.
        known: of the machine, for the rows that the choice is made from.
        planned: the cells of all parts of the run, which the choice is made from; those asked for if not given.

    """

    spec: RunSpec
    recipes: Sequence[Recipe]
    device: str
    identity: Mapping[str, object]
    impossible: Mapping[str, str] = field(default_factory=dict)
    lost: Container[str] = ()
    since: int = 0
    known: Known | None = None
    planned: tuple[Cell, ...] = ()

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes, from small to large."""
        return tuple(sorted({*self.spec.batch_sizes}))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every recipe at every batch size."""
        return tuple((recipe.name, size) for recipe in self.recipes for size in self.sizes)

    @cached_property
    def slow(self) -> frozenset[str]:
        """Recipes that are emulated here: they get no more rounds than elsewhere, and no pairs."""
        return frozenset(recipe.name for recipe in self.recipes if recipe.slow(self.device))

    def rounds(self, cell: Cell) -> int:
        """In how many rounds a cell is measured."""
        recipe, size = cell
        return self.spec.rounds if recipe in self.slow else self.spec.rounds_at(size)


def next_task(request: Request, observations: Sequence[Observation]) -> Task | None:
    """The next task, or none where all is done."""
    return _Plan(request, observations).next()


def settled(request: Request, observations: Sequence[Observation]) -> set[Cell]:
    """The cells that need nothing more: measured in all their rounds, or given up."""
    return _Plan(request, observations).settled()


def rows(request: Request, observations: Sequence[Observation], only: Cell | None = None) -> list[Row]:
    """The rows of the run, as far as they are known."""
    cells = request.planned or request.cells
    needed = [cell for cell in cells if only in (None, cell) or cell[0] == BASELINE]
    found = records(observations, request.identity, needed)
    return derive(found, list(dict.fromkeys(name for name, _ in cells)), only, request.known)


def gone_contenders(request: Request, observations: Sequence[Observation]) -> list[str]:
    """The recipes without which the choice can't be confirmed, and whose artifact is gone."""
    return _Plan(request, observations).gone_contenders()


class _Plan:
    """What is known of a request, and what is missing."""

    def __init__(self, request: Request, observations: Sequence[Observation]) -> None:
        self._request = request
        self._observations = observations
        self._known = current(observations, self._is_tried_again)

    def next(self) -> Task | None:
        """What to do now: the making of recipes comes first, then the rounds, then the confirmation."""
        settled = self.settled()
        missing = [cell for cell in self._request.cells if cell not in settled]
        for recipe in self._request.recipes:
            if task := self._making(recipe.name, missing):
                return task
        if missing:
            return self._round(missing, "sweep")
        unconfirmed = self._unconfirmed()
        return self._round(unconfirmed, "confirmation") if unconfirmed else None

    def settled(self) -> set[Cell]:
        """The cells that need nothing more."""
        return {cell for cell in self._request.cells if self._has_enough(cell) or self._is_given_up(cell)}

    def _has_enough(self, cell: Cell) -> bool:
        return len(self._known.rounds(cell)) >= self._request.rounds(cell) and self._has_begun(cell, "sweep")

    def _has_begun(self, cell: Cell, stage: Stage) -> bool:
        """Whether a process began with this batch size: only its memory and first inference are the cell's own."""
        measured = self._known.measured.get((stage, cell), ())
        return any(one.samples and one.samples.first_inference_s is not None for one in measured)

    def _is_given_up(self, cell: Cell, stage: Stage = "sweep") -> bool:
        """Whether the cell, or the making of its recipe, ended badly and isn't tried again."""
        making = (self._known.builds.get(cell[0]), self._known.evaluations.get(cell[0]))
        return (stage, cell) in self._known.failed or any(
            one and one.status is not Status.OK for one in making
        )

    def _is_tried_again(self, place: int, one: Observation) -> bool:
        """Of a part of the run that is over: what failed, and what was skipped for a reason that no longer holds."""
        if place >= self._request.since:
            return False
        impossible = one.status is Status.SKIPPED and one.reason == self._request.impossible.get(one.recipe)
        return not impossible and one.limit_s != self._request.spec.cell_timeout

    def _making(self, name: str, missing: Sequence[Cell]) -> Task | None:
        """What is to be done before a recipe can be timed; of the baseline also where only others lack rounds."""
        sizes = [size for recipe, size in missing if name in (recipe, BASELINE)]
        if not sizes or self._is_given_up((name, 0)):
            return None
        build = self._known.builds.get(name)
        if build is None or self._is_gone(name) or not (build.any_batch or {*sizes} <= {*build.batch_sizes}):
            return Build(name, tuple(sorted({*self._request.sizes, *(build.batch_sizes if build else ())})))
        return None if name in self._known.evaluations else Evaluate(name, self._images())

    def _images(self) -> int | None:
        """How many validation images the baseline's accuracy was measured on: all recipes have the same."""
        of_baseline = (one for one in self._observations if one.recipe == BASELINE)
        used = [
            len(one.found.correct_top1)
            for one in of_baseline
            if isinstance(one, EvaluateObservation) and one.found
        ]
        return used[-1] or None if used else None

    def _round(self, cells: Sequence[Cell], stage: Stage) -> Round:
        """One process of each recipe that lacks this round, and as many of the baseline as there are to be."""
        number = self._known.next_round
        compared = {size for name, size in cells if name != BASELINE}
        sizes: dict[str, list[int]] = {}
        for name, size in cells:
            sizes.setdefault(name, []).append(size)
        sizes[BASELINE] = [
            size
            for size in sorted({size for _, size in cells})
            if not self._is_given_up((BASELINE, size), stage)
        ]
        processes = [
            process
            for name, own in sizes.items()
            for copy in range(BASELINE_PROCESSES if name == BASELINE else 1)
            for process in self._processes(name, own, compared, stage, split=not copy)
        ]
        random.Random(f"{self._request.spec.seed} {number}").shuffle(processes)  # noqa: S311 - not a secret
        return Round(number, stage, tuple(processes))

    def _processes(
        self, name: str, sizes: Sequence[int], compared: set[int], stage: Stage, *, split: bool
    ) -> Iterator[Process]:
        """A recipe's batch sizes by the process that times them, from small to large.

        Memory that a larger batch left behind makes smaller ones quicker (decision 6), so a process goes to larger
        ones only. Its memory and its first inference are those of the batch size that it begins with. So that each
        begins one in time, the smallest that never did begins a process of its own.
        """
        left = {size: self._left((name, size), stage) for size in sizes}
        waiting = [size for size in sizes[1:] if not self._has_begun((name, size), stage)]
        due = math.ceil(len(waiting) / max(1, min(left.values(), default=1))) if split else 0
        begin = {*sizes[:1], *waiting[:due]}
        groups: list[list[int]] = []
        for size in sizes:
            if size in begin:
                groups.append([])
            groups[-1].append(size)
        for own in groups:
            yield Process(
                name,
                tuple(own),
                pairs=frozenset({*own} & self._paired(compared) if name not in self._request.slow else ()),
                rounds=max(left[size] for size in own),
                traced=tuple(
                    size for size in own if split and stage == "sweep" and self._lacks_trace((name, size))
                ),
            )

    def _left(self, cell: Cell, stage: Stage) -> int:
        """How many more rounds a cell is to be measured in."""
        spec = self._request.spec
        needed = self._request.rounds(cell) if stage == "sweep" else spec.confirmation_rounds
        return max(1, needed - len(self._known.rounds(cell, stage)))

    def _paired(self, compared: set[int]) -> set[int]:
        """Batch sizes at which processes are timed in pairs with the reference process.

        On a GPU there is none: it would share the card's memory with what is measured.
        """
        return compared & {*self._request.spec.focus_batch_sizes} if self._request.device == "cpu" else set()

    def _lacks_trace(self, cell: Cell) -> bool:
        """Traces are taken of the smallest and the largest batch size, and tried twice."""
        measured = self._known.measured.get(("sweep", cell), ())
        ends = (self._request.sizes[0], self._request.sizes[-1])
        return cell[1] in ends and len(measured) < TRACE_TRIES and not any(one.trace for one in measured)

    def _unconfirmed(self) -> list[Cell]:
        """The cells that the choice is confirmed by, where any of them lacks its rounds.

        A contender that broke is answered for: the others need no further rounds to be compared with it.
        """
        cells, needed = self._contenders(), self._request.spec.confirmation_rounds
        if not {name for name, _ in cells} - {BASELINE} or any(self._is_gone(name) for name, _ in cells):
            return []
        shared = set.intersection(*(self._known.rounds(cell, "confirmation") for cell in cells))
        return cells if len(shared) < needed else []

    def _contenders(self) -> list[Cell]:
        """Winner, runner-up and baseline by the sweep, from small batches to large; those that broke are out."""
        spec = self._request.spec
        contest = contend(rows(self._request, self._observations), spec.objective, spec.limits)
        cells = dict.fromkeys(contest.cells())
        sound = [cell for cell in cells if not self._is_given_up(cell, "confirmation")]
        return sorted(sound, key=lambda cell: cell[1])

    def gone_contenders(self) -> list[str]:
        """Recipes that lack confirmation and have no artifact."""
        cells, needed = self._contenders(), self._request.spec.confirmation_rounds
        lacking = [
            name for name, size in cells if len(self._known.rounds((name, size), "confirmation")) < needed
        ]
        return list(dict.fromkeys(name for name in lacking if self._is_gone(name)))

    def _is_gone(self, name: str) -> bool:
        """Whether the recipe's artifact is of a part of the run that is over, and isn't there any more."""
        return name in self._request.lost and self._known.built_at.get(name, -1) < self._request.since
