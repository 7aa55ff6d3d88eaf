"""Where tasks are carried out: this machine's fork servers, the workload, and the folders of the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from densebench.errors import CellFailed, CellTimedOut, TooSlow, Unavailable, UsageError
from densebench.machine.cpus import THREADS, Placement
from densebench.measure.reference import socket_path
from densebench.processes import messages
from densebench.processes.pool import ForkServerPool
from densebench.recipes.parse import resolve
from densebench.recipes.recipe import Recipe
from densebench.results.observation import BuildObservation, Observation, Status
from densebench.spec import BASELINE, RunSpec
from densebench.text import folder_name

MODELS = "models"
LOG = "run.log"
LIMIT_FLAG = "--cell-timeout"
FAULTS = (CellFailed, Unavailable, UsageError)


class Say(Protocol):
    """What is said of tasks under way, to a person."""

    def stage(self, what: str, stage: str) -> None: ...

    def detail(self, recipe: str, stage: str, words: str) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass
class Site:
    """What all tasks of a run share.

    Attributes:
        recipes: by name, those of all tasks.
        placement: the threads of children whose recipe wishes for no other number, and the CPUs of all children.
        timing_file: the images that are timed; its folder is the run's own for temporary files.
        survey: what was found of the machine.
        unpaired: batch sizes at which no reference process could be started.

    """

    spec: RunSpec
    recipes: dict[str, Recipe]
    placement: Placement
    pool: ForkServerPool
    workload: messages.Described
    timing_file: Path
    survey: messages.Surveyed
    say: Say
    unpaired: set[int] = field(default_factory=set)

    @property
    def threads(self) -> int:
        """Threads of children whose recipe wishes for no other number."""
        return self.placement.threads

    def folder(self, recipe: str) -> Path:
        """Where the recipe's artifact is."""
        return self.spec.output_dir / MODELS / folder_name(recipe)

    def add_recipes_of(self, observations: Sequence[Observation]) -> None:
        """Know the recipes that earlier parts of the run built: the choice may be one of these."""
        for one in observations:
            if isinstance(one, BuildObservation) and one.recipe not in self.recipes:
                self.recipes[one.recipe] = replace(resolve(one.steps, {}), name=one.recipe)

    def threads_of(self, recipe: Recipe) -> int:
        """Threads that the recipe's children run on: its own wish, else the run's."""
        return int(recipe.environment().get(THREADS, self.threads))

    def reference_job(self, size: int) -> messages.Reference:
        """A process of the baseline that times slices in turn with others."""
        return messages.Reference(
            folder=self.folder(BASELINE),
            device=self.workload.device,
            batch_size=size,
            timing_file=self.timing_file,
            address=socket_path(self.timing_file.parent, size),
            timeout_s=self.spec.cell_timeout,
            threads=self.threads,
            trust=self.spec.trust,
        )


class Clock:
    """When a task began, and how long it has been under way."""

    def __init__(self) -> None:
        self._began, self._at = time.monotonic(), datetime.now(UTC)

    def facts(self) -> dict[str, object]:
        """What every observation says of it."""
        return {
            "started_at": self._at.isoformat(timespec="seconds"),
            "spent_s": round(time.monotonic() - self._began, 3),
        }


def ended(error: Exception, cell_timeout: float) -> dict[str, object]:
    """How a task ended that did not end well."""
    if isinstance(error, TooSlow):  # with another limit it has another chance
        reason = f"{error} {cell_timeout:g}"
        return {"status": Status.SKIPPED, "reason": reason, "limit_s": cell_timeout}
    status = Status.SKIPPED if isinstance(error, Unavailable) else Status.FAILED
    return {"status": Status.TIMED_OUT if isinstance(error, CellTimedOut) else status, "reason": str(error)}
