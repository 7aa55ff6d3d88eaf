"""A sweep under way, and the first half of it: each recipe is built, and what was saved is evaluated.

What goes wrong in a child costs the rows it concerns and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from densebench import jobs
from densebench.artifact import read_manifest
from densebench.blanks import Known
from densebench.errors import CellFailed, CellTimedOut, RefusedArtifact, Unavailable, UsageError
from densebench.machine import KEEP_FREED_MEMORY
from densebench.nurseries import Nurseries
from densebench.recipe import Recipe
from densebench.record import BASELINE, Record, Row, Status
from densebench.rows import derive
from densebench.sinks.console import Progress
from densebench.sinks.journal import Journal
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec
from densebench.techniques.base import THREADS

BUILD_PATIENCE = 10  # a build may take this many times what a cell may
MODELS = "models"
REFERENCE = "reference_outputs.safetensors"
ACCURACY_BATCH = 32
FEW_IMAGES = 4  # of one alone each would take half as long again
LONG_ACCURACY_S = 10.0  # a zygote takes a third of it to start, and pages that are given back half of a call
LIMIT_FLAG = "--cell-timeout"
BASELINE_BLOCKS = 2  # in each round of timing: every recipe is compared with them


@dataclass
class Sweep:
    """One run under way."""

    spec: RunSpec
    recipes: Sequence[Recipe]
    threads: int
    nurseries: Nurseries
    workload: jobs.Described
    timing_file: Path
    identity: dict[str, str | int]
    progress: Progress
    journal: Journal
    scalars: TensorBoardSink
    records: list[Record]
    survey: jobs.Surveyed = field(default_factory=jobs.Surveyed)
    known: Known | None = None  # of the machine, as the journal has it
    order: Sequence[str] = ()  # of the recipes in the report
    impossible: Mapping[str, str] = field(default_factory=dict)  # recipes that can't run here, and why
    baseline_blocks: int = BASELINE_BLOCKS
    traces: bool = True

    @property
    def models(self) -> Path:
        return self.spec.output_dir / MODELS

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.spec.batch_sizes)))

    @property
    def untimed(self) -> Mapping[str, str]:
        """Variables for an accuracy pass: only its answers count, and a long one is worth a zygote of its own."""
        expected_s = self.workload.validation_images * self.workload.batch1_ms / 1000
        return KEEP_FREED_MEMORY if expected_s > LONG_ACCURACY_S else {}

    def threads_of(self, recipe: Recipe) -> int:
        """Threads that the recipe's children run on: its own wish, else the sweep's."""
        return int(recipe.environment().get(THREADS, self.threads))

    @property
    def requested(self) -> set[tuple[str, int]]:
        """The cells that this run is asked for."""
        return {(recipe.name, size) for recipe in self.recipes for size in self.batch_sizes}

    def missing(self, recipe: Recipe) -> list[int]:
        """Batch sizes at which a recipe has no row yet."""
        done = self.settled()
        return [size for size in self.batch_sizes if (recipe.name, size) not in done]

    def settled(self) -> set[tuple[str, int]]:
        """Cells that a resumed run leaves alone.

        Those that failed, timed out or lack rounds are tried again, and those that were skipped for what may have
        changed since.
        """
        latest = {record.key: record for record in self.records}
        return {key for key, record in latest.items() if self._settles(record)}

    def _settles(self, record: Record) -> bool:
        if record.status is Status.SKIPPED:
            reason = record.reason.partition(": ")[2] if record.reason.startswith("as at ") else record.reason
            return reason == self.impossible.get(record.recipe) or reason.endswith(self.time_limit)
        recipe = next((recipe for recipe in self.recipes if recipe.name == record.recipe), None)
        return (
            record.status is Status.OK
            and len({*record.rounds}) >= self.least_rounds(recipe, record.batch_size)
            and record.first_inference_s is not None
        )

    def focused(self, recipe: Recipe | None, size: int) -> bool:
        """Whether rounds go on there until the speed-up is known well, in turns: not for what is emulated here."""
        slow = recipe is not None and recipe.slow(self.workload.device)
        return size in self.spec.focus_batch_sizes and not slow

    def least_rounds(self, recipe: Recipe | None, size: int) -> int:
        """Rounds that a cell is measured in whatever comes of them."""
        return self.spec.least_rounds(size) if self.focused(recipe, size) else self.spec.rounds

    @property
    def time_limit(self) -> str:
        """How a reason names the limit that a cell was predicted to pass."""
        return f"{LIMIT_FLAG} {self.spec.cell_timeout:g}"

    def latest(self, recipe: Recipe, size: int) -> Record | None:
        """What was measured of a cell before, if anything was, in rounds."""
        own = (r for r in self.records if r.key == (recipe.name, size))
        former = [r for r in own if r.status is Status.OK and r.rounds]
        return former[-1] if former else None

    def keep(self, record: Record) -> None:
        """Write a record down: from now on it can't be lost."""
        self.journal.append(record)
        self.records.append(record)

    def finish(self, record: Record) -> None:
        """Keep a row, and tell the world."""
        self.keep(record)
        (row,) = derive(self.records, only=record.key, known=self.known)
        self.scalars.row(row)
        self.progress.cell_done(row)

    def rows(self) -> list[Row]:
        return derive(self.records, self.order or self.spec.recipes, known=self.known)


def make(sweep: Sweep, recipe: Recipe) -> dict[str, object] | None:
    """Build and evaluate a recipe that has rows missing: what all its rows say. None where it has nothing to time.

    The baseline also where only others lack rows, which are to be compared with it.
    What goes wrong is written down as the missing rows.
    """
    missing = sweep.missing(recipe)
    others = (one for one in sweep.recipes if one.name not in sweep.impossible)
    compared_with = recipe.name == BASELINE and any(map(sweep.missing, others))
    if not (missing or compared_with):
        return None
    started_at = now()
    try:
        if reason := recipe.unavailable(sweep.workload.device):
            raise Unavailable(reason)
        return made_before(sweep, recipe) or _make(sweep, recipe)
    except (CellFailed, Unavailable, UsageError) as error:
        for size in missing:
            sweep.finish(record_of(sweep, recipe, size, started_at, **outcome(error)))
        if not missing:
            sweep.progress.note(
                f"nothing can be compared with {recipe.name}, which could not be made: {error}"
            )
        return None


def _make(sweep: Sweep, recipe: Recipe) -> dict[str, object]:
    """Build and evaluate; the facts that every row of the recipe carries."""
    spec = sweep.spec
    folder = sweep.models / recipe.folder
    sweep.progress.stage(recipe.name, "build")
    build = jobs.Build(
        workload=sweep.workload.workload,
        recipe=recipe.name,
        named=spec.named,
        device=sweep.workload.device,
        batch_sizes=tuple(sorted({*sweep.batch_sizes, *_measured(sweep, recipe)})),
        folder=folder,
        threads=sweep.threads_of(recipe),
    )
    sweep.nurseries.plain.run(
        build,
        jobs.BuildDone,
        BUILD_PATIENCE * spec.cell_timeout,
        partial(sweep.progress.detail, recipe.name, "build"),
    )
    sweep.progress.stage(recipe.name, "accuracy")
    evaluate = jobs.Evaluate(
        workload=sweep.workload.workload,
        folder=folder,
        device=sweep.workload.device,
        batch_size=_accuracy_batch(sweep, recipe),
        reference=spec.output_dir / REFERENCE,
        is_reference=recipe.name == BASELINE,
        seconds=spec.accuracy_time,
        threads=sweep.threads_of(recipe),
        trust=spec.trust,
    )
    quality = sweep.nurseries.of(recipe.environment() or sweep.untimed).run(
        evaluate, jobs.Quality, spec.accuracy_time + 2 * spec.cell_timeout
    )
    emulated = recipe.slow(sweep.workload.device)
    return quality.model_dump(exclude={*jobs.Answer.model_fields}) | {
        "effect": "; ".join(filter(None, [quality.effect, emulated])),
        "artifact": f"{MODELS}/{recipe.folder}",
        "caveats": recipe.caveats,
        "precision": recipe.precision(sweep.workload.device),
        "threads": sweep.threads_of(recipe),
    }


def _accuracy_batch(sweep: Sweep, recipe: Recipe) -> int:
    """The most images at once; few where a batch may take half a minute, to learn soon how long all would take."""
    sizes = [size for size in sweep.batch_sizes if size <= ACCURACY_BATCH] or sweep.batch_sizes[:1]
    few = [size for size in sizes if size >= FEW_IMAGES] if recipe.slow(sweep.workload.device) else []
    return min(few, default=sizes[-1])


def made_before(sweep: Sweep, recipe: Recipe) -> dict[str, object] | None:
    """The same facts from the latest row, if a resumed run finds one and its artifact is whole and still fits.

    Engines may bind an artifact to the batch sizes that it is built for: one for other sizes is built again.
    """
    rows = [r for r in sweep.records if r.recipe == recipe.name and r.status is Status.OK]
    if not rows:
        return None
    earlier = rows[-1]
    try:
        manifest = read_manifest(sweep.models / recipe.folder, trusted=sweep.spec.trust)
    except RefusedArtifact:
        return None
    if not {*sweep.batch_sizes} <= {*(manifest.batch_sizes or _measured(sweep, recipe))}:
        return None
    facts = {*jobs.Quality.model_fields, "artifact", "caveats", "precision", "threads"}
    return earlier.model_dump(include=facts) | {
        "cold_start_s": manifest.facts.cold_start_s
    }  # else each row's own


def _measured(sweep: Sweep, recipe: Recipe) -> set[int]:
    """Batch sizes that the recipe's artifact has to serve for rows that are there already."""
    return {r.batch_size for r in sweep.records if r.recipe == recipe.name and r.status is Status.OK}


def record_of(sweep: Sweep, recipe: Recipe, batch_size: int, started_at: str, **facts: object) -> Record:
    """What the journal keeps of a cell."""
    identity = {key: value for key, value in sweep.identity.items() if key in Record.model_fields}
    reason = str(facts.get("reason", ""))
    if facts.get("status") is Status.SKIPPED and reason.endswith(LIMIT_FLAG):
        facts["reason"] = reason.removesuffix(LIMIT_FLAG) + sweep.time_limit  # another limit, another chance
    return Record.model_validate(
        identity
        | {"recipe": recipe.name, "steps": recipe.line, "batch_size": batch_size, "started_at": started_at}
        | facts
    )


def outcome(error: Exception) -> dict[str, object]:
    """The status and the reason of a cell that could not be measured."""
    status = Status.FAILED
    if isinstance(error, Unavailable):
        status = Status.SKIPPED
    elif isinstance(error, CellTimedOut):
        status = Status.TIMED_OUT
    return {"status": status, "reason": str(error)}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
