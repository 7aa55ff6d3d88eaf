"""Which observations count: those of the latest artifacts, and measurements of whole rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from densebench.results.observation import (
    BuildObservation,
    EvaluateObservation,
    MeasureObservation,
    Observation,
    Stage,
    Status,
)
from densebench.spec import BASELINE

Cell = tuple[str, int]  # recipe and batch size


@dataclass
class Current:
    """What is known now.

    A build makes all earlier observations of its recipe obsolete, and a build of the baseline those of all recipes
    that were measured against the former one: rows of two artifacts are never mixed.

    Attributes:
        builds: the latest of each recipe, well or not.
        built_at: where in the observations the latest artifact of each recipe was built.
        evaluations: the same, of the artifact that is there.
        measured: by stage and cell, in the order of the rounds; only of rounds that are whole.
        discarded: by stage and cell: processes that were repeated.
        failed: by stage and cell, the latest measurement that did not end well, unless a later round went well.
        next_round: a number that no round has had yet.

    """

    builds: dict[str, BuildObservation] = field(default_factory=dict)
    built_at: dict[str, int] = field(default_factory=dict)
    evaluations: dict[str, EvaluateObservation] = field(default_factory=dict)
    measured: dict[tuple[Stage, Cell], list[MeasureObservation]] = field(default_factory=dict)
    discarded: dict[tuple[Stage, Cell], list[MeasureObservation]] = field(default_factory=dict)
    failed: dict[tuple[Stage, Cell], MeasureObservation] = field(default_factory=dict)
    next_round: int = 0

    def rounds(self, cell: Cell, stage: Stage = "sweep") -> set[int]:
        """The rounds in which a cell was measured well."""
        return {one.round for one in self.measured.get((stage, cell), ())}


def current(
    observations: Sequence[Observation], forgiven: Callable[[int, Observation], bool] = lambda place, one: False
) -> Current:
    """What counts of these observations.

    Args:
        observations: in the order in which they were made.
        forgiven: by place and observation: what did not end well and is to be tried again, as if it had not been.

    """
    found = Current()
    there = Counter(one.round for one in observations if isinstance(one, MeasureObservation) and not one.discarded)
    for place, one in enumerate(observations):
        again = one.status is not Status.OK and forgiven(place, one)
        match one:
            case BuildObservation():
                _keep(found.builds, one, again=again)
                if one.status is Status.OK:
                    found.built_at[one.recipe] = place
                    _forget(found, one.recipe)
            case EvaluateObservation():
                _keep(found.evaluations, one, again=again)
            case MeasureObservation():
                found.next_round = max(found.next_round, one.round + 1)
                key = (one.stage, one.cell)
                if one.discarded:
                    found.discarded.setdefault(key, []).append(one)
                elif one.status is not Status.OK:
                    _keep(found.failed, one, key, again=again)
                elif there[one.round] >= one.of:
                    found.measured.setdefault(key, []).append(one)
                    _forget_failure(found, one)
    return found


def _keep(kept: dict[Any, Any], one: Observation, key: object = None, *, again: bool) -> None:
    """The latest of its kind; nothing where it is tried again."""
    if again:
        kept.pop(key or one.recipe, None)
    else:
        kept[key or one.recipe] = one


def _forget_failure(found: Current, well: MeasureObservation) -> None:
    """A cell that was tried again in a later round, and well, has failed no more."""
    key = (well.stage, well.cell)
    if key in found.failed and found.failed[key].round < well.round:
        del found.failed[key]


def _forget(found: Current, recipe: str) -> None:
    """Drop what was seen of the recipe's former artifact; of the baseline's, all that was held against it."""
    found.evaluations.pop(recipe, None)
    for kept in (found.measured, found.discarded, found.failed):
        for key in [key for key in kept if recipe in (BASELINE, key[1][0])]:
            del kept[key]
