"""What the parent does when clock, disk or suite are odd, with children that answer at once."""

from __future__ import annotations

import csv
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from densebench import loop
from densebench.cli import main
from densebench.errors import CellFailed, CellTimedOut, DensebenchError, InputError
from densebench.executors import opening, site
from densebench.output import written
from densebench.output.held import held
from densebench.planners import sweep
from densebench.processes import messages
from densebench.results import journal
from densebench.results.derive import derive
from densebench.results.observation import MeasureObservation
from densebench.results.record import Record, Row
from densebench.sinks.log_folder import owner
from densebench.sinks.progress import Progress
from densebench.spec import BASELINE, RunSpec
from tests.reliability.disk import fill, small_disk
from tests.reliability.fork_servers import InstantForkServers

__all__ = ["small_disk"]
HURRY = {"rounds": 1, "focus_batch_sizes": (), "repeats": 0, "ceilings": False, "deploy_time": 0}


class Nowhere:
    """A sink that keeps nothing."""

    def __init__(self, log_dir: Path) -> None:
        pass

    def row(self, row: Row) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Children that answer at once; no look at the machine, and no pictures, which take two seconds each."""
    monkeypatch.setattr(opening, "ForkServerPool", InstantForkServers)
    monkeypatch.setattr(opening, "warnings", lambda placed: [])
    monkeypatch.setattr(written, "write_board", lambda *_: None)
    return monkeypatch


@pytest.fixture
def quiet(instant: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The same without the report."""
    instant.setattr(written, "write_report", lambda *_: [])
    return instant


def run(folder: Path, **flags: object) -> loop.Outcome:
    """A sweep into `folder/out`."""
    return loop.run(
        RunSpec.create(output_dir=folder / "out", log_dir=folder / "log", **(HURRY | flags)), Progress()
    )


def table(folder: Path) -> list[tuple[str, int]]:
    """The cells in the CSV."""
    with (folder / "out" / "benchmark_results.csv").open(encoding="utf-8", newline="") as file:
        return [(row["recipe"], int(row["batch_size"])) for row in csv.DictReader(file)]


@pytest.mark.timeout(400)
def test_two_thousand_cells(tmp_path: Path, instant: pytest.MonkeyPatch) -> None:
    """Every cell is in the journal after its only round and in the CSV once, in order; the report is there."""
    instant.setattr(loop, "TensorBoardSink", Nowhere)
    sizes, names = tuple(range(1, 11)), tuple(f"pruning:amount={number / 1000}" for number in range(1, 200))
    outcome = run(tmp_path, recipes=names, batch_sizes=sizes)
    expected = [(recipe, size) for recipe in ("baseline", *names) for size in sizes]
    assert len(expected) == 2000
    assert outcome.exit_code == 0
    observations = journal.read(tmp_path / "out")[1]
    lines = Counter(
        one.cell for one in observations if isinstance(one, MeasureObservation) and one.stage == "sweep"
    )
    assert lines == {cell: 2 if cell[0] == BASELINE else 1 for cell in expected}
    assert table(tmp_path) == expected
    assert (tmp_path / "out" / "report.html").exists()


def test_a_row_costs_no_more_in_a_long_run(tmp_path: Path, quiet: pytest.MonkeyPatch) -> None:
    """Only its own figures and the baseline's are put together when a row is finished, however many there are."""
    used: list[int] = []

    def counted(records: list[Record], *others: Any) -> list[Row]:
        used.append(len(records))
        return derive(records, *others)

    quiet.setattr(sweep, "derive", counted)
    run(tmp_path, recipes=("amp", "channels_last", "bf16"), batch_sizes=(1, 2, 3))
    assert max(used) == 4 * 3
    assert used.count(12) <= 3  # the choice's, and the last
    assert max(one for one in used if one < 12) <= 3 + 1


def test_a_clock_that_is_set_back_changes_nothing_but_dates(
    tmp_path: Path, quiet: pytest.MonkeyPatch
) -> None:
    """With an hour less at each look, a sweep, its resume and the run after it go as ever."""
    shown = iter(range(10**9, 0, -3600))
    quiet.setattr(time, "time", lambda: float(next(shown)))
    clock = SimpleNamespace(now=lambda zone: datetime.fromtimestamp(next(shown), zone))
    quiet.setattr(site, "datetime", clock)
    assert run(tmp_path, recipes=("amp",), batch_sizes=(1, 2)).exit_code == 0
    assert table(tmp_path) == [("baseline", 1), ("baseline", 2), ("amp", 1), ("amp", 2)]
    first = (tmp_path / "out" / "journal.jsonl").read_bytes()
    again = run(tmp_path, recipes=("amp", "bf16"), batch_sizes=(1, 2), resume=True)
    assert (tmp_path / "out" / "journal.jsonl").read_bytes().startswith(first)
    assert [row.key for row in again.rows] == [(r, s) for r in ("baseline", "amp", "bf16") for s in (1, 2)]
    assert run(tmp_path, recipes=("amp",), batch_sizes=(1,)).exit_code == 0
    assert len(list((tmp_path / "out" / "previous").iterdir())) == 1


def test_the_exit_code_is_of_the_rows_asked_for(tmp_path: Path, quiet: pytest.MonkeyPatch) -> None:
    """A resumed run that is asked for another recipe does nothing about one that failed, and succeeds."""

    class Failing(InstantForkServers):
        def run(self, job: messages.Job, *others: Any) -> Any:
            if isinstance(job, messages.Build) and job.recipe == "amp":
                raise CellFailed("boom")
            return super().run(job, *others)

    quiet.setattr(opening, "ForkServerPool", Failing)
    assert run(tmp_path, recipes=("amp",), batch_sizes=(1,)).exit_code == 1
    other = run(tmp_path, recipes=("bf16",), batch_sizes=(1,), resume=True)
    assert other.exit_code == 0
    assert [(row.recipe, row.status) for row in other.rows] == [
        ("baseline", "ok"),
        ("amp", "failed"),
        ("bf16", "ok"),
    ]
    assert run(tmp_path, recipes=("amp", "bf16"), batch_sizes=(1,), resume=True).exit_code == 1


def test_data_that_takes_too_long_to_open_names_what_allows_more(
    tmp_path: Path, quiet: pytest.MonkeyPatch
) -> None:
    """In one line, and nothing is left."""

    class Slow(InstantForkServers):
        def run(self, job: messages.Job, *others: Any) -> Any:
            if isinstance(job, messages.Describe):
                raise CellTimedOut("took too long")
            return super().run(job, *others)

    quiet.setattr(opening, "ForkServerPool", Slow)
    with pytest.raises(InputError, match=r"took more than 1200 s: a longer --cell-timeout allows more"):
        run(tmp_path, recipes=("amp",), cell_timeout=120)
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_leaves_another_one_s_logs_alone(tmp_path: Path, quiet: pytest.MonkeyPatch) -> None:
    """Its log folder was used by a run into another output folder since: that one's logs are moved, not removed."""
    days = iter(range(1, 10))
    began = SimpleNamespace(facts=lambda: {"started_at": f"2026-01-0{next(days)}T00:00:00+00:00"})
    quiet.setattr(opening, "Clock", lambda: began)
    run(tmp_path, recipes=("amp",), batch_sizes=(1,))
    flags = HURRY | {"recipes": ("amp",), "batch_sizes": (1,), "log_dir": tmp_path / "log"}
    loop.run(RunSpec.create(output_dir=tmp_path / "other", **flags), Progress())
    theirs = {path.name for path in (tmp_path / "log").rglob("*.densebench")}
    run(tmp_path, recipes=("amp", "bf16"), batch_sizes=(1,), resume=True)
    (aside,) = (tmp_path / "out" / "previous").iterdir()
    assert {path.name for path in aside.rglob("*.densebench")} == theirs
    assert owner(tmp_path / "log") == "2026-01-01T00:00:00+00:00"
    assert (tmp_path / "log" / "bf16").is_dir()
    run(tmp_path, recipes=("amp", "bf16"), batch_sizes=(1,), resume=True)
    assert len(list((tmp_path / "out" / "previous").iterdir())) == 1


def test_a_disk_that_is_full_for_the_csv_leaves_the_old_one(
    small_disk: Path, quiet: pytest.MonkeyPatch
) -> None:
    """The run ends in one line that says what to do; the earlier table is whole, and --resume writes the new one."""
    run(small_disk, recipes=("amp",), batch_sizes=(1,))
    before = (small_disk / "out" / "benchmark_results.csv").read_bytes()
    write, close = written.write_csv, []

    def late(path: Path, rows: list[Row]) -> None:
        if not close:
            close.append(fill(small_disk / "filler"))
        write(path, rows)

    quiet.setattr(written, "write_csv", late)
    with pytest.raises(DensebenchError, match=r"No space left.*go on with --resume"):
        run(small_disk, recipes=("amp", "bf16"), batch_sizes=(1,), resume=True)
    assert (small_disk / "out" / "benchmark_results.csv").read_bytes() == before
    assert not list((small_disk / "out").glob(".*"))
    (small_disk / "filler").unlink()
    run(small_disk, recipes=("amp", "bf16"), batch_sizes=(1,), resume=True)
    assert table(small_disk) == [("baseline", 1), ("amp", 1), ("bf16", 1)]


def test_a_report_on_a_full_disk_is_one_line(
    small_disk: Path, quiet: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`densebench report` says what is wrong, and the old files stay."""
    run(small_disk, recipes=("amp",), batch_sizes=(1,))
    fill(small_disk / "filler")
    before = (small_disk / "out" / "benchmark_results.csv").read_bytes()
    quiet.setattr("sys.argv", ["densebench", "report", str(small_disk / "out")])
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capsys.readouterr().err
    assert (end.value.code, len(said.splitlines())) == (1, 1)
    assert "No space left" in said
    assert (small_disk / "out" / "benchmark_results.csv").read_bytes() == before


def test_a_run_in_a_folder_in_use_writes_nothing(tmp_path: Path, quiet: pytest.MonkeyPatch) -> None:
    """It is refused before a child is started, and what is there stays."""
    run(tmp_path, recipes=("amp",), batch_sizes=(1,))
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    quiet.delattr(opening, "ForkServerPool")
    with held(tmp_path / "out"), pytest.raises(InputError, match="in use by process"):
        run(tmp_path, recipes=("amp",), batch_sizes=(1,))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
