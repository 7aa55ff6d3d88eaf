"""The parent's whole story: open the workload, then for each recipe build, evaluate, time and trace, row by row.

Everything heavy happens in children. What goes wrong in one costs the rows it concerns and nothing else.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from densebench import jobs
from densebench.artifact import read_manifest
from densebench.errors import CellFailed, CellTimedOut, InputError, RefusedArtifact, Unavailable, UsageError
from densebench.isolation import Nursery, plain_environment
from densebench.machine import allowed_threads
from densebench.measure.environment import environment, environment_id, warnings
from densebench.recipe import Recipe, plan
from densebench.record import BASELINE, Record, Row, Status, derive
from densebench.report import write_report
from densebench.sinks import journal
from densebench.sinks.console import Progress
from densebench.sinks.csv_file import write_csv
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec

CSV = "benchmark_results.csv"
REFERENCE = "reference_outputs.safetensors"
LOG = "run.log"
BUILD_PATIENCE = 10  # a build may take this many times what a cell may
ACCURACY_BATCH = 32
PREVIOUS = "previous"


@dataclass
class Outcome:
    """What a sweep left behind."""

    rows: list[Row]
    header: journal.Header
    folder: Path
    written: list[Path] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all well, 1 a row failed or timed out, 130 interrupted."""
        if self.interrupted:
            return 130
        return int(any(row.status in (Status.FAILED, Status.TIMED_OUT) for row in self.rows))


@dataclass
class Sweep:
    """One run under way."""

    spec: RunSpec
    threads: int
    nursery: Nursery
    workload: jobs.Described
    timing_file: Path
    identity: dict[str, str | int]
    progress: Progress
    journal: journal.Journal
    scalars: TensorBoardSink
    records: list[Record]

    @property
    def models(self) -> Path:
        return self.spec.output_dir / "models"

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.spec.batch_sizes)))

    def finish(self, record: Record) -> None:
        """Keep a row: in the journal first."""
        self.journal.append(record)
        self.records.append(record)
        row = next(r for r in reversed(self.rows()) if r.key == record.key)
        self.scalars.row(row)
        self.progress.cell_done(row)

    def rows(self) -> list[Row]:
        return derive(self.records)


def run(spec: RunSpec, progress: Progress, command: str = "") -> Outcome:
    """Carry out a sweep; see the contract for what it leaves in the output folder.

    Raises:
        UsageError: the request can't be carried out; nothing was written.

    """
    recipes = plan(spec.recipes, spec.named)
    check_writable(spec.output_dir)
    check_writable(spec.log_dir)
    threads = spec.threads or allowed_threads()
    with opened(spec, threads, progress) as (nursery, workload, timing_file):
        facts = environment()
        identity: dict[str, str | int] = {
            "model": spec.model,
            "weights": workload.weights,
            "weights_sha256": workload.weights_sha256,
            "data": workload.data,
            "image_size": spec.image_size,
            "device": workload.device,
            "threads": threads,
            "seed": spec.seed,
            "environment_id": environment_id(facts),
        }
        header = journal.Header(
            identity=identity,
            spec=spec.model_dump(mode="json"),
            environment=facts,
            notes=(*workload.notes, *warnings()),
            command=command,
            started_at=now(),
        )
        for note in header.notes:
            progress.note(note)
        kept = _open_journal(spec, header)
        scalars = TensorBoardSink(spec.log_dir)
        sweep = Sweep(
            spec, threads, nursery, workload, timing_file, identity, progress, kept[0], scalars, list(kept[1])
        )
        for row in sweep.rows():
            scalars.row(row)
        interrupted = False
        try:
            cells = {(r.name, size) for r in recipes for size in sweep.batch_sizes}
            progress.start(len(cells), len(cells & _settled(sweep.records)))
            for recipe in recipes:
                sweep_recipe(sweep, recipe)
                write_csv(spec.output_dir / CSV, sweep.rows())
        except KeyboardInterrupt:
            interrupted = True
            nursery.close()
        finally:
            progress.close()
            sweep.journal.close()
            scalars.close()
            shutil.copyfile(timing_file.with_name(LOG), spec.output_dir / LOG)
    rows = sweep.rows()
    write_csv(spec.output_dir / CSV, rows)
    written = [spec.output_dir / CSV, *write_report(spec.output_dir, header, rows)]
    return Outcome(rows, header, spec.output_dir, written, interrupted)


@contextmanager
def opened(spec: RunSpec, threads: int, progress: Progress) -> Iterator[tuple[Nursery, jobs.Described, Path]]:
    """Children ready to work, the workload resolved and checked, and the file of its timing images."""
    with tempfile.TemporaryDirectory(prefix="densebench-") as scratch:
        timing_file = Path(scratch) / "timing.safetensors"
        with Nursery(plain_environment(threads), Path(scratch) / LOG) as nursery:
            progress.note("opening model, weights and data")
            job = jobs.Describe(
                workload=jobs.WorkloadJob(**spec.model_dump(include=set(jobs.WorkloadJob.model_fields))),
                device=spec.device,
                batch_sizes=tuple(spec.batch_sizes),
                timing_file=timing_file,
                threads=threads,
            )
            yield nursery, nursery.run(job, jobs.Described, BUILD_PATIENCE * spec.cell_timeout), timing_file


def sweep_recipe(sweep: Sweep, recipe: Recipe) -> None:
    """All missing rows of one recipe, the smallest batch first."""
    done = _settled(sweep.records)
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
                stop = f"batch {size} did not fit: {error}"
            continue
        facts = quality | measured | _profile(sweep, recipe, size)
        sweep.finish(_record(sweep, recipe, size, started_at, status=Status.OK, **facts))


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
        threads=sweep.threads,
    )
    sweep.nursery.run(build, jobs.BuildDone, BUILD_PATIENCE * spec.cell_timeout)
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
        threads=sweep.threads,
        trust=spec.trust,
    )
    quality = sweep.nursery.run(evaluate, jobs.Quality, spec.accuracy_time + 2 * spec.cell_timeout)
    return quality.model_dump() | {"artifact": f"models/{recipe.folder}", "caveats": recipe.caveats}


def _made_before(sweep: Sweep, recipe: Recipe) -> dict[str, object] | None:
    """The same facts from an earlier row, if a resumed run finds one and its artifact is still whole."""
    earlier = next((r for r in sweep.records if r.recipe == recipe.name and r.status is Status.OK), None)
    if earlier is None:
        return None
    try:
        read_manifest(sweep.models / recipe.folder, trusted=sweep.spec.trust)
    except RefusedArtifact:
        return None
    facts = {*jobs.Quality.model_fields, "artifact", "caveats"}
    return earlier.model_dump(include=facts)


def _measure(
    sweep: Sweep, recipe: Recipe, batch_size: int, quality: Mapping[str, object]
) -> dict[str, object]:
    sweep.progress.stage(recipe.name, "measure", batch_size)
    job = jobs.Measure(
        folder=sweep.models / recipe.folder,
        device=sweep.workload.device,
        batch_size=batch_size,
        timing_file=sweep.timing_file,
        sample_seconds=sweep.spec.sample_time,
        timeout_s=sweep.spec.cell_timeout,
        slow_reason=recipe.slow(sweep.workload.device) or "",
        threads=sweep.threads,
        trust=sweep.spec.trust,
    )
    measured = sweep.nursery.run(job, jobs.Measured, sweep.spec.cell_timeout)
    facts = measured.model_dump(exclude={"samples_ms"}) | {"samples_ms": (measured.samples_ms,)}
    without_cache = measured.load_s + measured.first_inference_s
    return {"cold_start_s": without_cache} | facts if quality["cold_start_s"] is None else facts


def _profile(sweep: Sweep, recipe: Recipe, batch_size: int) -> dict[str, object]:
    """A trace at the smallest and the largest batch size. A trace that fails is said, and costs no row."""
    if batch_size not in (sweep.batch_sizes[0], sweep.batch_sizes[-1]):
        return {}
    sweep.progress.stage(recipe.name, "profile", batch_size)
    name = f"profile/{recipe.folder}/bs{batch_size}.pt.trace.json"
    job = jobs.Profile(
        folder=sweep.models / recipe.folder,
        device=sweep.workload.device,
        batch_size=batch_size,
        timing_file=sweep.timing_file,
        trace=sweep.spec.log_dir / name,
        threads=sweep.threads,
        trust=sweep.spec.trust,
    )
    try:
        sweep.nursery.run(job, jobs.Profiled, 2 * sweep.spec.cell_timeout)
    except (CellFailed, Unavailable, UsageError) as error:
        sweep.progress.note(f"{recipe.name}, batch {batch_size}: no profile: {error}")
        return {}
    return {"traces": (name,)}


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


def _settled(records: list[Record]) -> set[tuple[str, int]]:
    """Cells that a resumed run leaves alone: those that failed or timed out are tried again."""
    latest = {record.key: record.status for record in records}
    return {key for key, status in latest.items() if status in (Status.OK, Status.SKIPPED)}


def _open_journal(spec: RunSpec, header: journal.Header) -> tuple[journal.Journal, list[Record]]:
    if spec.resume and (spec.output_dir / journal.FILE_NAME).exists():
        return journal.reopen(spec.output_dir, header)
    set_aside(spec.output_dir, spec.log_dir)
    return journal.create(spec.output_dir, header), []


def set_aside(output_dir: Path, log_dir: Path) -> None:
    """Move what an earlier run left in the two folders into `previous/<time>/` of the output folder."""
    left = [path for path in output_dir.iterdir() if path.name != PREVIOUS] if output_dir.exists() else []
    if not any(path.name == journal.FILE_NAME for path in left):
        return
    aside = output_dir / PREVIOUS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside.mkdir(parents=True)
    if log_dir.exists() and not log_dir.is_relative_to(output_dir):
        shutil.move(log_dir, aside / "tensorboard")
    for path in left:
        shutil.move(path, aside / path.name)


def check_writable(folder: Path) -> None:
    """Refuse a folder that can't be written to, before anything is done.

    Raises:
        InputError: with what to change.

    """
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir():
        raise InputError(f"{folder} can't be written: {nearest} is no folder; name another folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}): name another folder") from None


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """The command that started this process, to print in the report."""
    import shlex

    return shlex.join(["densebench", *sys.argv[1:]])
