"""The folder of a run is one run's at a time, and holds nothing half written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from densebench.errors import DensebenchError, InputError
from densebench.files import check_writable
from densebench.output import held as module
from densebench.output.held import LOCK, disk_explained, held
from tests.reliability.disk import small_disk

__all__ = ["small_disk"]
HOLDER = """
import sys, time
from pathlib import Path
from densebench.output.held import held
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
    lock, ended = module.fcntl.flock, []

    def slow(file: object, how: int) -> None:
        lock(file, how)
        if not ended:
            ended.append((tmp_path / LOCK).unlink())

    monkeypatch.setattr(module.fcntl, "flock", slow)
    with held(tmp_path):
        assert (tmp_path / LOCK).exists()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on where the system can't lock."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", refuse)
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
            check_writable(folder)


def test_room_is_asked_for_only_where_there_is_none(tmp_path: Path) -> None:
    """A folder that may not be written to isn't helped by deleting files."""
    for number, advice in ((errno.ENOSPC, "make room, then"), (errno.EACCES, "mend that, then")):
        with pytest.raises(DensebenchError, match=advice), disk_explained(tmp_path):
            raise OSError(number, os.strerror(number))


def test_a_name_that_is_no_text_is_refused() -> None:
    """A folder whose name can stand in no file of text is refused by a name that can be printed."""
    with pytest.raises(InputError, match=r"r\\udce9sultats' is no UTF-8 here: name another folder"):
        check_writable(Path("r\udce9sultats"))
