"""The parent's whole story: open the workload, make every recipe, time them in turn, and write down what came of it.

Everything heavy happens in children.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from densebench import forecast, jobs
from densebench.cells import BUILD_PATIENCE, Sweep, make, now, settled
from densebench.folders import check_writable, disk_explained, set_aside
from densebench.isolation import Nurseries, plain_environment
from densebench.machine import allowed_threads
from densebench.measure.environment import environment, environment_id
from densebench.measure.hazards import warnings
from densebench.recipe import plan
from densebench.record import Record, Row, Status
from densebench.report import write_report
from densebench.rounds import time_cells
from densebench.sinks import journal
from densebench.sinks.console import Progress
from densebench.sinks.csv_file import write_csv
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec

CSV = "benchmark_results.csv"
LOG = "run.log"


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


def run(spec: RunSpec, progress: Progress, command: str = "") -> Outcome:
    """Carry out a sweep; see the contract for what it leaves in the output folder.

    Raises:
        UsageError: the request can't be carried out; nothing was written.

    """
    recipes = plan(spec.recipes, spec.named)
    check_writable(spec.output_dir)
    check_writable(spec.log_dir)
    threads = spec.threads or allowed_threads()
    with (
        disk_explained(spec.output_dir),
        opened(spec, threads, progress) as (nurseries, workload, timing_file),
    ):
        facts = environment()
        identity: dict[str, str | int] = {
            "model": spec.model,
            "weights": workload.weights,
            "data": workload.data,
            "image_size": workload.workload.image_size,
            "device": workload.device,
            "threads": threads,
            "seed": spec.seed,
            "weights_sha256": workload.weights_sha256,  # after the seed, which random weights follow from
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
            spec,
            recipes,
            threads,
            nurseries,
            workload,
            timing_file,
            identity,
            progress,
            kept[0],
            scalars,
            list(kept[1]),
        )
        for row in sweep.rows():
            scalars.row(row)
        interrupted = False
        try:
            cells = {(r.name, size) for r in recipes for size in sweep.batch_sizes}
            able = [recipe for recipe in recipes if not recipe.unavailable(workload.device)]
            expected_s = forecast.sweep_s(spec, workload, able)
            progress.start(len(cells), len(cells & settled(sweep.records)), expected_s)
            made = []
            for recipe in recipes:
                if (about := make(sweep, recipe)) is not None:
                    made.append((recipe, about))
                if recipe in able:
                    progress.worked(forecast.making_s(recipe, spec, workload))
            time_cells(sweep, made)
        except KeyboardInterrupt:
            interrupted = True
            nurseries.close()
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
def opened(
    spec: RunSpec, threads: int, progress: Progress
) -> Iterator[tuple[Nurseries, jobs.Described, Path]]:
    """Children ready to work, the workload resolved and checked, and the file of its timing images."""
    with tempfile.TemporaryDirectory(prefix="densebench-") as scratch:
        timing_file = Path(scratch) / "timing.safetensors"
        # what a child leaves when it is killed goes with the scratch folder
        variables = plain_environment(threads) | {"TMPDIR": scratch}
        with Nurseries(variables, Path(scratch) / LOG) as nurseries:
            progress.note("opening model, weights and data")
            job = jobs.Describe(
                workload=jobs.WorkloadJob(**spec.model_dump(include=set(jobs.WorkloadJob.model_fields))),
                device=spec.device,
                batch_sizes=tuple(spec.batch_sizes),
                timing_file=timing_file,
                threads=threads,
            )
            described = nurseries.plain.run(job, jobs.Described, BUILD_PATIENCE * spec.cell_timeout)
            yield nurseries, described, timing_file


def _open_journal(spec: RunSpec, header: journal.Header) -> tuple[journal.Journal, list[Record]]:
    if spec.resume and (spec.output_dir / journal.FILE_NAME).exists():
        return journal.reopen(spec.output_dir, header)
    set_aside(spec.output_dir, spec.log_dir)
    return journal.create(spec.output_dir, header), []


def command_line() -> str:
    """The command that started this process, to print in the report."""
    return shlex.join(["densebench", *sys.argv[1:]])
