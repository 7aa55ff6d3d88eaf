"""A place that gives densebench nothing it likes: one sweep there, and what it leaves behind."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.program import PATIENCE_S, SMALL, Program, journal_rows, write_suite

pytestmark = pytest.mark.timeout(400)
NOWHERE = "/dev/null/home"  # nobody can make a folder there, root included
BARE = 'umount /dev/shm 2>/dev/null || mount -t tmpfs -o ro,size=4k none /dev/shm; exec "$@"'


@dataclass(frozen=True)
class Ended:
    """The sweep, and the folder for temporary files that it was given."""

    code: int
    err: str
    out: Path
    temporary: Path


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Python with -O, an ASCII locale, no home, no cache and, where that can be had, no /dev/shm."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tmp").mkdir()
    hostile = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONOPTIMIZE": "1",
        "HOME": NOWHERE,
        "XDG_CACHE_HOME": NOWHERE,
        "XDG_DATA_HOME": NOWHERE,
        "TORCH_HOME": NOWHERE,
        "TMPDIR": str(folder / "tmp"),
    }
    environment = Program(folder, folder, more=tuple(hostile.items())).environment
    suite = write_suite(folder / "suite.toml", recipes=["channels_last", "jit"], batch_sizes=[1])
    command = [sys.executable, "-m", "densebench", "run", *SMALL, "--suite", str(suite)]
    command += ["--output-dir=out", "--log-dir=log"]
    bare = ["unshare", "--mount", "sh", "-c", BARE, "sh"]
    if (
        shutil.which("unshare")
        and subprocess.run([*bare, "true"], capture_output=True, check=False).returncode == 0
    ):
        command = [*bare, *command]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=PATIENCE_S, check=False
    )
    return Ended(done.returncode, done.stderr.decode(), folder / "out", folder / "tmp")


def test_what_needs_no_home_is_measured(ended: Ended) -> None:
    """Every recipe that ships no code has its rows, and the report is there."""
    rows = {row["recipe"]: row["status"] for row in journal_rows(ended.out)}
    assert (rows["baseline"], rows["channels_last"]) == ("ok", "ok"), ended.err
    assert "Traceback" not in ended.err
    with (ended.out / "benchmark_results.csv").open(encoding="utf-8", newline="") as file:
        assert [row["recipe"] for row in csv.DictReader(file)] == ["baseline", "channels_last", "jit"]
    assert (ended.out / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_a_key_that_can_be_kept_nowhere_costs_the_rows_that_need_one(ended: Ended) -> None:
    """Code can't be signed without a home; the row says which variable helps."""
    (row,) = (row for row in journal_rows(ended.out) if row["recipe"] == "jit")
    assert row["status"] == "failed"
    assert "DENSEBENCH_KEY_FILE" in str(row["reason"])
    assert ended.code == 1


def test_nothing_is_left_behind(ended: Ended) -> None:
    """No file in the folder for temporary ones, no half-written one among the results, and no process."""
    assert list(ended.temporary.iterdir()) == []
    assert not list(ended.out.rglob(".*"))
    mark = f"TMPDIR={ended.temporary}".encode()
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0"):
                alive.append(process.name)
        except OSError:
            continue
    assert alive == []
