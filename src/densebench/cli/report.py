"""The report of a results folder once more, by the run's own objective and limits or by others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from densebench import files
from densebench.decision.objective import column_of, memory_mb
from densebench.errors import InputError, UsageError
from densebench.output.held import disk_explained
from densebench.output.written import link_best
from densebench.report import write_report
from densebench.report.across import Run, across
from densebench.report.across_markdown import across_markdown
from densebench.report.facts import sweep_of
from densebench.report.html import across_page
from densebench.report.prices import read_prices
from densebench.report.sweep import Sweep
from densebench.report.write import HTML, MARKDOWN
from densebench.results import journal
from densebench.results.assemble import confirmation_records, records
from densebench.results.derive import derive
from densebench.results.journal import Header
from densebench.results.record import Record
from densebench.sinks.csv_file import CSV, write_csv
from densebench.spec import RunSpec
from densebench.text import joined


def write_across(
    directories: Sequence[Path], output_dir: Path, prices: Path | None, asked: Mapping[str, object]
) -> Path:
    """Write one report over several results folders, as a page and as Markdown; the page.

    Args:
        directories: results folders; their names tell the runs apart.
        output_dir: where the report goes.
        prices: a TOML file with the price of an hour of each run's machine.
        asked: the objective and limits that take the place of each run's own.

    Raises:
        UsageError: a value that can't be used; two folders of one name; prices of no folder.

    """
    known = read_prices(prices) if prices else None
    names = [directory.resolve().name for directory in directories]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(
            f"two of the results folders are called '{twice}': rename one, since names tell runs apart"
        )
    runs = [_run(directory, asked) for directory in directories]
    said = across(runs, known)
    texts = {HTML: across_page(said), MARKDOWN: across_markdown(said)}
    with disk_explained(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            files.write_text(output_dir / name, text)
    return output_dir / HTML


def _run(directory: Path, asked: Mapping[str, object]) -> Run:
    header, sweep, _ = _read(directory, asked)
    device = sweep.rows[0].device if sweep.rows else "cpu"
    machine = header.environment.get("cpu" if device == "cpu" else "gpu0")
    threads = f", {sweep.rows[0].threads} threads" if sweep.rows and device == "cpu" else ""
    return Run(directory.resolve().name, f"{machine or device}{threads}", sweep)


def write_again(directory: Path, asked: Mapping[str, object]) -> tuple[Sweep, list[Path]]:
    """Write CSV, report and the link `best` from the journal; the rows as the report sees them, and what to open.

    Args:
        directory: a results folder.
        asked: the objective and limits that take the place of the run's, by their names in a spec.

    Raises:
        UsageError: a value that can't be used, a batch size or an objective that no row has.

    """
    header, sweep, confirmation = _read(directory, asked)
    _check(sweep, directory, asked)
    with disk_explained(directory):
        write_csv(directory / CSV, sweep.rows)
        paths = [directory / CSV, *write_report(directory, header, sweep.rows, confirmation)]
        best = link_best(directory, sweep.artifact)
    return sweep, [*paths, *([best] if best else [])]


def _read(directory: Path, asked: Mapping[str, object]) -> tuple[Header, Sweep, list[Record]]:
    """The header with what is asked for, the rows as the report sees them, and the confirmation."""
    RunSpec.create("default", **asked)  # refuses what `run` would
    header, observations = journal.read(directory)
    kept = {name: value for name, value in header.spec.items() if name.replace("-", "_") not in asked}
    header = header.model_copy(update={"spec": {**kept, **asked}})
    rows = derive(
        records(observations, header.identity, header.planned),
        header.spec.get("recipes", ()),
        known=header.known,
    )
    confirmation = confirmation_records(observations, header.identity)
    return header, sweep_of(header, rows, confirmation), confirmation


def _check(sweep: Sweep, directory: Path, asked: Mapping[str, object]) -> None:
    """Refuse what no row can answer."""
    served = sweep.limits.serving_batch_size
    if served is not None and sweep.timed and served not in sweep.batch_sizes:
        known = joined([str(size) for size in sweep.batch_sizes])
        raise InputError(
            f"--serving-batch-size {served}: {directory} has no row there; it has batch sizes {known}"
        )
    columns = {column_of(sweep.objective, row.device) for row in sweep.timed}
    if columns and not any(getattr(row, name) is not None for row in sweep.timed for name in columns):
        raise UsageError(
            f"--objective {sweep.objective}: no row in {directory} has {joined(sorted(columns))}; choose another one"
        )
    columns = {column_of("memory", row.device) for row in sweep.timed}
    unknown = columns and all(memory_mb(row) is None for row in sweep.timed)
    if "max_memory_mb" in asked and unknown:
        raise UsageError(
            f"--max-memory-mb: no row in {directory} has {joined(sorted(columns))} to hold against it; leave it out"
        )
