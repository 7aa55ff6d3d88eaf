"""One recipe's part of a sweep: build, evaluate, then time and trace it at each batch size, row by row.

What goes wrong in a child costs the rows it concerns and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from densebench import jobs
from densebench.artifact import read_manifest
from densebench.errors import CellFailed, CellTimedOut, RefusedArtifact, Unavailable, UsageError
from densebench.isolation import Nurseries
from densebench.machine import KEEP_FREED_MEMORY
from densebench.recipe import Recipe
from densebench.record import BASELINE, Record, Row, Status, derive
from densebench.sinks.console import Progress
from densebench.sinks.journal import Journal
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec
from densebench.techniques.base import THREADS

BUILD_PATIENCE = 10  # a build may take this many times what a cell may
REFERENCE = "reference_outputs.safetensors"
ACCURACY_BATCH = 32
LONG_ACCURACY_S = 30.0


@dataclass
class Sweep:
    """One run under way."""

    spec: RunSpec
    threads: int
    nurseries: Nurseries
    workload: jobs.Described
    timing_file: Path
    identity: dict[str, str | int]
    progress: Progress
    journal: Journal
    scalars: TensorBoardSink
    records: list[Record]

    @property
    def models(self) -> Path:
        return self.spec.output_dir / "models"

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

    def finish(self, record: Record) -> None:
        """Keep a row: in the journal first."""
        self.journal.append(record)
        self.records.append(record)
        row = next(r for r in reversed(self.rows()) if r.key == record.key)
        self.scalars.row(row)
        self.progress.cell_done(row)

    def rows(self) -> list[Row]:
        return derive(self.records)


def sweep_recipe(sweep: Sweep, recipe: Recipe) -> None:
    """All missing rows of one recipe, the smallest batch first."""
    done = settled(sweep.records)
    missing = [size for size in sweep.batch_sizes if (recipe.name, size) not in done]
    if not missing:
        return
    started_at = now()
    try:
        if reason := recipe.unavailable(sweep.workload.device):
            raise Unavailable(reason)
        quality = _made_before(sweep, recipe) or _make(sweep, recipe)
    except (CellFailed, Unavailable, UsageError) as error:
        for size in missing:
            sweep.finish(_record(sweep, recipe, size, started_at, **_outcome(error)))
        return
    stop: str | None = None
    for size in missing:
        if stop:
            sweep.finish(_record(sweep, recipe, size, now(), status=Status.SKIPPED, reason=stop))
            continue
        started_at = now()
        try:
            measured = _measure(sweep, recipe, size, quality)
        except (CellFailed, Unavailable, UsageError) as error:
            sweep.finish(_record(sweep, recipe, size, started_at, **_outcome(error)))
            if isinstance(error, Unavailable) or (isinstance(error, CellFailed) and error.out_of_memory):
                stop = f"as at batch {size}: {error}"
            continue
        sweep.finish(_record(sweep, recipe, size, started_at, status=Status.OK, **(quality | measured)))


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
        batch_sizes=sweep.batch_sizes,
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
        batch_size=max(
            (size for size in sweep.batch_sizes if size <= ACCURACY_BATCH), default=sweep.batch_sizes[0]
        ),
        reference=spec.output_dir / REFERENCE,
        is_reference=recipe.name == BASELINE,
        seconds=spec.accuracy_time,
        threads=sweep.threads_of(recipe),
        trust=spec.trust,
    )
    quality = sweep.nurseries.of(recipe.environment() or sweep.untimed).run(
        evaluate, jobs.Quality, spec.accuracy_time + 2 * spec.cell_timeout
    )
    return quality.model_dump() | {
        "artifact": f"models/{recipe.folder}",
        "caveats": recipe.caveats,
        "threads": sweep.threads_of(recipe),
    }


def _made_before(sweep: Sweep, recipe: Recipe) -> dict[str, object] | None:
    """The same facts from an earlier row, if a resumed run finds one and its artifact is still whole."""
    earlier = next((r for r in sweep.records if r.recipe == recipe.name and r.status is Status.OK), None)
    if earlier is None:
        return None
    try:
        read_manifest(sweep.models / recipe.folder, trusted=sweep.spec.trust)
    except RefusedArtifact:
        return None
    facts = {*jobs.Quality.model_fields, "artifact", "caveats", "threads"}
    return earlier.model_dump(include=facts)


def _measure(
    sweep: Sweep, recipe: Recipe, batch_size: int, quality: Mapping[str, object]
) -> dict[str, object]:
    """Time one cell, with a trace at the smallest and the largest batch size."""
    sweep.progress.stage(recipe.name, "measure", batch_size)
    name = f"profile/{recipe.folder}/bs{batch_size}.pt.trace.json"
    traced = batch_size in (sweep.batch_sizes[0], sweep.batch_sizes[-1])
    job = jobs.Measure(
        folder=sweep.models / recipe.folder,
        device=sweep.workload.device,
        batch_size=batch_size,
        timing_file=sweep.timing_file,
        sample_seconds=sweep.spec.sample_time,
        timeout_s=sweep.spec.cell_timeout,
        slow_reason=recipe.slow(sweep.workload.device) or "",
        trace=sweep.spec.log_dir / name if traced else None,
        threads=sweep.threads_of(recipe),
        trust=sweep.spec.trust,
    )
    measured = sweep.nurseries.of(recipe.environment()).run(job, jobs.Measured, sweep.spec.cell_timeout)
    facts = measured.model_dump(exclude={"samples_ms", "trace_problem"})
    facts |= {"samples_ms": (measured.samples_ms,)}
    if traced and measured.trace_problem:
        sweep.progress.note(f"{recipe.name}, batch {batch_size}: no profile: {measured.trace_problem}")
    elif traced:
        facts["traces"] = (name,)
    without_cache = measured.load_s + measured.first_inference_s
    return {"cold_start_s": without_cache} | facts if quality["cold_start_s"] is None else facts


def _record(sweep: Sweep, recipe: Recipe, batch_size: int, started_at: str, **facts: object) -> Record:
    identity = {key: value for key, value in sweep.identity.items() if key != "weights_sha256"}
    return Record.model_validate(
        identity
        | {"recipe": recipe.name, "steps": recipe.line, "batch_size": batch_size, "started_at": started_at}
        | facts
    )


def _outcome(error: Exception) -> dict[str, object]:
    status = Status.FAILED
    if isinstance(error, Unavailable):
        status = Status.SKIPPED
    elif isinstance(error, CellTimedOut):
        status = Status.TIMED_OUT
    return {"status": status, "reason": str(error)}


def settled(records: list[Record]) -> set[tuple[str, int]]:
    """Cells that a resumed run leaves alone: those that failed or timed out are tried again."""
    latest = {record.key: record.status for record in records}
    return {key for key, status in latest.items() if status in (Status.OK, Status.SKIPPED)}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
