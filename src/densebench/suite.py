"""The parent's whole story: open the workload, make every recipe, time them in turn, and write down what came of it.

Everything heavy happens in children.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from densebench import forecast, jobs
from densebench.cells import BUILD_PATIENCE, LIMIT_FLAG, Sweep, make, now
from densebench.errors import CellFailed, CellTimedOut, InputError, Unavailable
from densebench.folders import CSV, LOG, check_folders, disk_explained, held, set_aside
from densebench.isolation import plain_environment
from densebench.machine import SCRATCH, allowed_threads
from densebench.measure.environment import environment, environment_id
from densebench.measure.hazards import room, warnings
from densebench.nurseries import Nurseries
from densebench.recipe import Recipe, plan
from densebench.record import BASELINE, Record, Row, Status
from densebench.report import write_report
from densebench.report.board import write_board
from densebench.rounds import time_cells
from densebench.sinks import journal
from densebench.sinks.console import Progress
from densebench.sinks.csv_file import write_csv
from densebench.sinks.log_folder import claim
from densebench.sinks.mlflow import MlflowSink, check_mlflow
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec, is_onnx_file
from densebench.workloads.folder import folder_fingerprint


@dataclass
class Outcome:
    """What a sweep left behind."""

    rows: list[Row]
    header: journal.Header
    folder: Path
    written: list[Path] = field(default_factory=list)
    interrupted: bool = False
    requested: Container[tuple[str, int]] = ()  # a resumed run may have been asked for a part of the rows

    @property
    def exit_code(self) -> int:
        """0 all well, 1 a row that was asked for failed or timed out, 130 interrupted."""
        if self.interrupted:
            return 130
        bad = {row.key for row in self.rows if row.status in (Status.FAILED, Status.TIMED_OUT)}
        return int(any(key in self.requested for key in bad))


def run(spec: RunSpec, progress: Progress, command: str = "") -> Outcome:
    """Carry out a sweep; see the contract for what it leaves in the output folder.

    Raises:
        UsageError: the request can't be carried out; nothing was written.

    """
    recipes = plan(spec.recipes, spec.named)
    check_folders(spec.output_dir, spec.log_dir)
    if spec.mlflow:
        check_mlflow(spec.mlflow)
    threads = spec.threads or allowed_threads()
    with (
        disk_explained(spec.output_dir),
        held(spec.output_dir, spec.log_dir),
        opened(spec, threads, progress) as (nurseries, workload, timing_file),
    ):
        facts = environment()
        identity: dict[str, str | int] = {
            "model": Path(spec.model).name if is_onnx_file(spec.model) else spec.model,  # the hash says whose
            "weights": workload.weights,
            "data": workload.data,
            "image_size": workload.workload.image_size,
            "device": workload.device,
            "threads": threads,
            "seed": spec.seed,
            "weights_sha256": workload.weights_sha256,  # after the seed, which random weights follow from
            "environment_id": environment_id(facts),
        }
        if files := folder_fingerprint(workload.workload.data):
            identity["data_files"] = files  # two folders may have one name
        reasons = {recipe.name: forecast.impossible(recipe, spec, workload.device) for recipe in recipes}
        able = [recipe for recipe in recipes if not reasons[recipe.name]]
        size = workload.workload.image_size
        needed = forecast.needs_mb(spec, len(able), workload.parameters, size)
        notes = (
            *workload.notes,
            *warnings(),
            *room(*needed, spec.output_dir),
        )
        for note in notes:
            progress.note(note)
        if spec.resume and not (spec.output_dir / journal.FILE_NAME).exists():
            progress.note(f"nothing to go on with: {spec.output_dir} has no journal, so this is a new run")
        logged = MlflowSink(spec.mlflow, spec.output_dir) if spec.mlflow else None  # refused before any row
        survey = _survey(spec, nurseries, workload.device, threads, str(identity["environment_id"]), progress)
        header = journal.Header(
            identity=identity,
            spec=spec.model_dump(mode="json") | {"recipes": [recipe.name for recipe in recipes]},
            environment=facts,
            ceilings=survey.ceilings,
            energy=survey.energy_method,
            clock_step_us=survey.clock_step_us,
            notes=notes,
            command=command,
            started_at=now(),
        )
        kept, header, records = _open_journal(spec, header, recipes)
        sweep = Sweep(
            spec=spec,
            recipes=recipes,
            threads=threads,
            nurseries=nurseries,
            workload=workload,
            timing_file=timing_file,
            identity=identity,
            progress=progress,
            journal=kept,
            scalars=TensorBoardSink(spec.log_dir),
            records=list(records),
            survey=survey,
            known=header.known,
            order=header.spec["recipes"],
            impossible={name: reason for name, reason in reasons.items() if reason},
        )
        try:
            interrupted = _carry_out(sweep, able)
        except BaseException:
            with suppress(OSError):  # of the two the first is told
                _keep_log(timing_file.with_name(LOG), spec)
            raise
        _keep_log(timing_file.with_name(LOG), spec)
        rows = sweep.rows()
        written = _write(spec, header, rows)
        if logged:
            progress.note(logged.log(rows))
    return Outcome(rows, header, spec.output_dir, written, interrupted, sweep.requested)


def _keep_log(log: Path, spec: RunSpec) -> None:
    """Copy what children said, after what those of the run that is resumed did."""
    with log.open("rb") as said, (spec.output_dir / LOG).open("ab" if spec.resume else "wb") as kept:
        shutil.copyfileobj(said, kept)


def _carry_out(sweep: Sweep, able: list[Recipe]) -> bool:
    """Make, then time; whether it was interrupted."""
    progress = sweep.progress
    done = sweep.settled()
    for row in sweep.rows():
        if row.key in done:
            sweep.scalars.row(row)
    cells = sweep.requested
    lacking = [recipe for recipe in able if recipe.name == BASELINE or sweep.missing(recipe)]
    sizes = {size for recipe in lacking for size in sweep.missing(recipe)}
    left = sweep.spec.model_copy(update={"batch_sizes": tuple(sizes)})
    expected_s = forecast.sweep_s(left, sweep.workload, lacking) if sizes else (0.0, 0.0)
    progress.start(len(cells), len(cells & done), *expected_s)
    try:
        made = []
        for recipe in sweep.recipes:
            if (about := make(sweep, recipe)) is not None:
                made.append((recipe, about))
            if recipe in lacking and sizes:
                progress.worked(forecast.making_s(recipe, left, sweep.workload))
        progress.turn()
        time_cells(sweep, made)
    except KeyboardInterrupt:
        sweep.nurseries.close()
        return True
    finally:
        progress.close()
        sweep.journal.close()
        sweep.scalars.close()
    return False


def _write(spec: RunSpec, header: journal.Header, rows: list[Row]) -> list[Path]:
    """Everything that follows from the rows; the files to open."""
    write_csv(spec.output_dir / CSV, rows)
    written = [spec.output_dir / CSV, *write_report(spec.output_dir, header, rows)]
    write_board(spec.log_dir, header, rows)
    return written


def _survey(
    spec: RunSpec, nurseries: Nurseries, device: str, threads: int, environment: str, progress: Progress
) -> jobs.Surveyed:
    """What rows are judged by; a machine that can't say costs the figures that need it and nothing else."""
    job = jobs.Survey(device=device, threads=threads, environment_id=environment, ceilings=spec.ceilings)
    try:
        return nurseries.plain.run(
            job,
            jobs.Surveyed,
            BUILD_PATIENCE * spec.cell_timeout,
            lambda stage: progress.detail("this machine's ceilings", "survey", stage),
        )
    except (CellFailed, Unavailable) as error:
        progress.note(f"this machine's ceilings are not known: {error}")
        return jobs.Surveyed()


@contextmanager
def opened(
    spec: RunSpec, threads: int, progress: Progress
) -> Iterator[tuple[Nurseries, jobs.Described, Path]]:
    """Children ready to work, the workload resolved and checked, and the file of its timing images."""
    with tempfile.TemporaryDirectory(prefix="densebench-") as scratch:
        timing_file = Path(scratch) / "timing.safetensors"
        # what a child leaves when it is killed goes with the scratch folder
        variables = plain_environment(threads) | {"TMPDIR": scratch, SCRATCH: scratch}
        with Nurseries(variables, Path(scratch) / LOG) as nurseries:
            progress.note("opening model, weights and data")
            job = jobs.Describe(
                workload=jobs.WorkloadJob(**spec.model_dump(include=set(jobs.WorkloadJob.model_fields))),
                device=spec.device,
                batch_sizes=tuple(spec.batch_sizes),
                timing_file=timing_file,
                threads=threads,
            )
            limit_s = BUILD_PATIENCE * spec.cell_timeout
            try:
                described = nurseries.plain.run(job, jobs.Described, limit_s)
            except CellTimedOut:
                raise InputError(
                    f"opening model, weights and data took more than {limit_s:g} s: a longer {LIMIT_FLAG} allows "
                    f"more ({BUILD_PATIENCE} times as long as it says), or name files that are here already"
                ) from None
            yield nurseries, described, timing_file


def _open_journal(
    spec: RunSpec, header: journal.Header, recipes: list[Recipe]
) -> tuple[journal.Journal, journal.Header, list[Record]]:
    """The journal, what it says of the run, and what an earlier part of the run left in it."""
    if spec.resume and (spec.output_dir / journal.FILE_NAME).exists():
        steps = {recipe.name: recipe.line for recipe in recipes}
        kept, header, records = journal.reopen(spec.output_dir, header, steps)
        set_aside(spec.output_dir, spec.log_dir, going_on=header.started_at)
    else:
        set_aside(spec.output_dir, spec.log_dir)
        kept, records = journal.create(spec.output_dir, header), []
    claim(spec.log_dir, header.started_at)
    return kept, header, records


def command_line() -> str:
    """The command that started this process, to print in the report."""
    return shlex.join(["densebench", *sys.argv[1:]])
