"""From the first file of a run to its last: the log, the journal, and all that follows from the rows."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from densebench.executors.site import LOG
from densebench.output.aside import BEST, check_folders, set_aside
from densebench.output.held import disk_explained, held
from densebench.processes.pool import ForkServerPool
from densebench.recipes.recipe import Recipe
from densebench.report import write_report
from densebench.report.board import write_board
from densebench.report.facts import sweep_of
from densebench.results import journal
from densebench.results.ceilings import ceilings_of, raised
from densebench.results.observation import Observation, Status
from densebench.results.record import Record, Row
from densebench.roofline.ceilings import keep
from densebench.sinks.csv_file import CSV, write_csv
from densebench.sinks.log_folder import claim
from densebench.sinks.mlflow import check_mlflow
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)  # what file systems without them say


@dataclass
class Outcome:
    """What a run left behind."""

    rows: list[Row]
    header: journal.Header
    folder: Path
    confirmation: list[Record] = field(default_factory=list)
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


@contextmanager
def prepared(spec: RunSpec, progress: Progress) -> Iterator[tuple[RunSpec, Path]]:
    """The spec with what a resumed run was asked for, and a file for what children print; the folders are held.

    Raises:
        UsageError: the folders, or MLflow, can't be used.

    """
    check_folders(spec.output_dir, spec.log_dir)
    there = (spec.output_dir / journal.FILE_NAME).exists()
    if spec.resume and there:
        spec = spec.going_on(journal.read(spec.output_dir)[0].spec)
    if spec.mlflow:
        check_mlflow(spec.mlflow)
    with (
        disk_explained(spec.output_dir),
        held(spec.output_dir, spec.log_dir),
        new_log(spec.output_dir, going_on=spec.resume) as log,
    ):
        if spec.resume and not there:
            progress.note(f"nothing to go on with: {spec.output_dir} has no journal, so this is a new run")
        yield spec, log


@contextmanager
def new_log(output_dir: Path, *, going_on: bool) -> Iterator[Path]:
    """A file for what children print, until it is certain that the run begins: then it gets the name `run.log`.

    What is left under the first name goes: a request that is refused writes nothing.

    Args:
        output_dir: where results go.
        going_on: with `--resume`, after what the children of the earlier run printed.

    """
    path = output_dir / f".{LOG}.tmp"
    if going_on and (output_dir / LOG).exists():
        shutil.copyfile(output_dir / LOG, path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def open_journal(
    spec: RunSpec, header: journal.Header, recipes: Sequence[Recipe], pool: ForkServerPool
) -> tuple[journal.Journal, journal.Header, list[Observation]]:
    """The journal, what it says of the run, and what an earlier part of the run left in it."""
    if spec.resume and (spec.output_dir / journal.FILE_NAME).exists():
        steps = {recipe.name: recipe.line for recipe in recipes}
        kept, header, observations = journal.reopen(spec.output_dir, header, steps)
        set_aside(spec.output_dir, spec.log_dir, going_on=header.started_at)
    else:
        set_aside(spec.output_dir, spec.log_dir)
        kept, observations = journal.create(spec.output_dir, header), []
    claim(spec.log_dir, header.started_at)
    pool.keep_log(spec.output_dir / LOG)
    return kept, header, observations


def write_results(
    spec: RunSpec, header: journal.Header, rows: list[Row], confirmation: list[Record]
) -> list[Path]:
    """Everything that follows from the rows; the files to open."""
    if surveyed := ceilings_of(header.ceilings):
        keep(raised(surveyed, rows), str(header.identity["environment_id"]))
    write_csv(spec.output_dir / CSV, rows)
    written = [spec.output_dir / CSV, *write_report(spec.output_dir, header, rows, confirmation)]
    best = link_best(spec.output_dir, sweep_of(header, rows, confirmation).artifact)
    write_board(spec.log_dir, header, rows, confirmation)
    return [*written, *([best] if best else [])]


def link_best(output_dir: Path, artifact: str) -> Path | None:
    """Let `best` lead to the artifact to deploy, or take the link away where there is none.

    Returns:
        The link; None where there is none, where a file or folder of the user's has its name, and on a file system
        that has no symbolic links: the answer names the recipe too. A journal may be copied without its models.

    """
    link = output_dir / BEST
    if link.exists() and not link.is_symlink():
        return None
    outside = Path(artifact).is_absolute() or ".." in Path(artifact).parts
    if not artifact or outside or not (output_dir / artifact).is_dir():
        link.unlink(missing_ok=True)
        return None
    part = output_dir / f".{BEST}.tmp"
    part.unlink(missing_ok=True)
    try:
        part.symlink_to(artifact)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return None
    part.replace(link)
    return link
