"""The folder of a run is one run's at a time, and holds nothing half written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from densebench import folders
from densebench.errors import DensebenchError, InputError
from densebench.folders import LOCK, disk_explained, held
from densebench.sinks.log_folder import OWNER, claim
from tests.reliability.disk import small_disk

__all__ = ["small_disk"]
HOLDER = """
import sys, time
from pathlib import Path
from densebench.folders import held
with held(Path(sys.argv[1]), Path(sys.argv[1]) / "log"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    """The refusal names the process that holds the folder; once that was killed its lock holds nobody."""
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        said = rf"in use by process {first.pid} .*: wait for it, or name another"
        with pytest.raises(InputError, match=rf"/out is {said} --output-dir"), held(out):
            pytest.fail("two runs in one folder")
        with (
            pytest.raises(InputError, match=rf"/log is {said} --log-dir"),
            held(tmp_path / "other", out / "log"),
        ):
            pytest.fail("two runs that write to one log folder")
        assert not (tmp_path / "other").exists()
        first.kill()
    assert (out / LOCK).exists()
    with held(out):
        assert f"process {os.getpid()} " in (out / LOCK).read_text(encoding="utf-8")
    assert not (out / LOCK).exists()
    with held(out, out / "."):
        pass  # one folder for both is held once


def test_a_lock_that_is_taken_away_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that got hold of the lock file of one that just ended does not take it for its own."""
    lock, ended = folders.fcntl.flock, []

    def slow(file: object, how: int) -> None:
        lock(file, how)
        if not ended:
            ended.append((tmp_path / LOCK).unlink())

    monkeypatch.setattr(folders.fcntl, "flock", slow)
    with held(tmp_path):
        assert (tmp_path / LOCK).exists()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on where the system can't lock."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    with held(tmp_path / "out"):
        (tmp_path / "out" / "row").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["row"]


def test_a_folder_that_nothing_was_put_into_goes(tmp_path: Path) -> None:
    """A request that is refused leaves no folder behind; one that was there, or was used, stays."""
    with held(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "journal.jsonl").touch()
    with held(tmp_path / "a" / "b"):
        pass
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["journal.jsonl"]


def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    """Temporary files and unfinished artifacts go; what has its name stays."""
    half = [".benchmark_results.csv.7.tmp", "models/.amp.part-7/weights", "models/.amp.old-7/weights"]
    whole = ["benchmark_results.csv", "models/amp/weights", ".profile"]
    for name in (*half, *whole):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with held(tmp_path):
        pass
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        *whole
    }


def test_a_read_only_folder_is_refused(small_disk: Path) -> None:
    """In one line that names it, before anything runs."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (small_disk, small_disk / "out"):
        with pytest.raises(
            InputError, match=r"can't be written .Read-only file system.: name another folder"
        ):
            folders.check_writable(folder)


def test_room_is_asked_for_only_where_there_is_none(tmp_path: Path) -> None:
    """A folder that may not be written to isn't helped by deleting files."""
    for number, advice in ((errno.ENOSPC, "make room, then"), (errno.EACCES, "mend that, then")):
        with pytest.raises(DensebenchError, match=advice), disk_explained(tmp_path):
            raise OSError(number, os.strerror(number))


def test_a_name_that_is_no_text_is_refused() -> None:
    """A folder whose name can stand in no file of text is refused by a name that can be printed."""
    with pytest.raises(InputError, match=r"r\\udce9sultats' is no UTF-8 here: name another folder"):
        folders.check_writable(Path("r\udce9sultats"))


def fill(folder: Path, *names: str) -> None:
    """Files with their names in them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")


def files(folder: Path) -> set[str]:
    """The files in a folder and below."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


OURS = (
    "journal.jsonl",
    "benchmark_results.csv",
    "report.html",
    "REPORT.md",
    "README.md",
    "run.log",
    "reference_outputs.safetensors",
    "models/amp/manifest.json",
    "models/amp/weights.safetensors",
)
EVENTS = "events.out.tfevents.1.1.densebench"
OUR_LOGS = (EVENTS, f"amp/{EVENTS}", f"amp/bs1/{EVENTS}", f"report/{EVENTS}", "profile/amp/bs1.pt.trace.json")
YOURS = ("thesis.tex", "models/mine.pth", "models/mine/weights.pth", "previous/before/journal.jsonl")
YOUR_LOGS = ("events.out.tfevents.1.mine", "training/events.out.tfevents.2.mine", "amp/notes.txt")


@pytest.mark.parametrize("logs", ["log", "out/log", "out", "."])
def test_only_what_a_run_wrote_is_set_aside(tmp_path: Path, logs: str) -> None:
    """In folders that hold other things too, whichever of the two lies in the other, or with one for both."""
    out, log = tmp_path / "out", tmp_path / logs
    fill(out, *OURS, *YOURS)
    fill(log, *OUR_LOGS, *YOUR_LOGS)
    before = files(tmp_path)
    folders.check_folders(out, log)
    folders.set_aside(out, log)
    (aside,) = (path for path in (out / "previous").iterdir() if path.name != "before")
    assert files(aside) == {*OURS, *(f"tensorboard/{name}" for name in OUR_LOGS)}
    moved = {f"out/{name}" for name in OURS} | {
        (log / name).relative_to(tmp_path).as_posix() for name in OUR_LOGS
    }
    assert files(tmp_path) - {f"out/previous/{aside.name}/{name}" for name in files(aside)} == before - moved
    assert not (log / "profile").exists()


def test_a_folder_without_a_journal_is_left_alone(tmp_path: Path) -> None:
    """No run was there, so nothing is of a run."""
    fill(tmp_path, "models/amp/manifest.json", "log/profile/mine.json", f"log/mine/{EVENTS}")
    before = files(tmp_path)
    folders.set_aside(tmp_path, tmp_path / "log")
    assert files(tmp_path) == before


def test_logs_of_a_run_into_another_folder_are_not_written_over(tmp_path: Path) -> None:
    """They are by default where this run's are to be: they go where earlier logs of this folder would."""
    fill(tmp_path / "log", *OUR_LOGS, *YOUR_LOGS)
    fill(tmp_path / "first", *OURS)
    folders.set_aside(tmp_path / "second", tmp_path / "log")
    (aside,) = (tmp_path / "second/previous").iterdir()
    assert files(aside) == {f"tensorboard/{name}" for name in OUR_LOGS}
    assert files(tmp_path / "log") == set(YOUR_LOGS)
    assert files(tmp_path / "first") == set(OURS)


def test_a_run_that_goes_on_moves_only_logs_of_another(tmp_path: Path) -> None:
    """Its own, and those of nobody known, are replaced file by file; what the results hold stays."""
    out, log = tmp_path / "out", tmp_path / "log"
    fill(out, *OURS)
    fill(log, *OUR_LOGS, *YOUR_LOGS)
    before = files(tmp_path)
    folders.set_aside(out, log, going_on="today")
    assert files(tmp_path) == before
    claim(log, "today")
    folders.set_aside(out, log, going_on="today")
    assert files(tmp_path) == before | {f"log/{OWNER}"}
    folders.set_aside(out, log, going_on="yesterday")
    (aside,) = (out / "previous").iterdir()
    assert files(aside) == {f"tensorboard/{name}" for name in (*OUR_LOGS, OWNER)}
    assert files(log) == set(YOUR_LOGS)


def test_a_relative_folder_is_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--output-dir .` beside an absolute log folder in it: what is moved is found all the same."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, *OURS, "thesis.tex")
    fill(tmp_path / "log", *OUR_LOGS)
    folders.set_aside(Path(), tmp_path / "log")
    assert files(tmp_path / "log") == set()
    assert (tmp_path / "thesis.tex").exists()
    (aside,) = (tmp_path / "previous").iterdir()
    assert files(aside) == {*OURS, *(f"tensorboard/{name}" for name in OUR_LOGS)}


@pytest.mark.parametrize(
    ("out", "log", "flag"),
    [
        ("log/profile/out", "log", "--output-dir"),
        ("log/profile", "log", "--output-dir"),
        ("out", "out/models/log", "--log-dir"),
        ("out", "out/previous", "--log-dir"),
        ("out", "link/models", "--log-dir"),
    ],
)
def test_folders_that_would_move_one_another_are_refused(
    tmp_path: Path, out: str, log: str, flag: str
) -> None:
    """Under whatever name; the line says which to change."""
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with pytest.raises(InputError, match=f"which runs move: name another {flag}"):
        folders.check_folders(tmp_path / out, tmp_path / log)


@pytest.mark.parametrize("name", ["README.md", "REPORT.md", "report.html", "benchmark_results.csv"])
def test_a_report_of_someone_else_is_not_written_over(tmp_path: Path, name: str) -> None:
    """A run in a project's own folder would replace its README; beside a journal they are a run's."""
    fill(tmp_path, name)
    with pytest.raises(InputError, match=f"{name} is of no run here"):
        folders.check_folders(tmp_path, tmp_path / "log")
    fill(tmp_path, "journal.jsonl")
    folders.check_folders(tmp_path, tmp_path / "log")
