"""Which cases property tests draw: the same in every run, and new ones in `scripts/fuzz.sh`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = "tests/loadtest/test_search.py"  # a file of this project's tests, which brings their settings
DRAWS = """
import os
from pathlib import Path
from hypothesis import given, strategies as st

@given(st.integers())
def test_draws(number):
    with Path(os.environ["DRAWN"]).open("a") as file:
        file.write(f"{number} ")
    assert number != number or os.environ["RIGHT"]
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Test files, with one that writes down what it draws."""
    (tmp_path / "test_draws.py").write_text(DRAWS, encoding="utf-8")
    return [OWN, str(tmp_path / "test_draws.py")]


def ended(folder: Path, *command: str, right: str = "yes") -> tuple[int, str, str]:
    """Exit code and output of a command, and what the file above drew meanwhile."""
    drawn = folder / "drawn"
    drawn.unlink(missing_ok=True)
    variables = {"DRAWN": str(drawn), "RIGHT": right, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "kept")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env=os.environ | variables | {"PATH": path, "PYTEST_ADDOPTS": "-n 0"},
    )
    return done.returncode, done.stdout + done.stderr, drawn.read_text() if drawn.exists() else ""


def test_a_run_of_the_tests_draws_the_same_cases_each_time(tmp_path: Path, files: list[str]) -> None:
    """What passes for one person passes for the next."""
    first, second = (ended(tmp_path, sys.executable, "-m", "pytest", *files) for _ in range(2))
    assert (first[0], second[0]) == (0, 0), first[1] + second[1]
    assert first[2] == second[2] != ""


def test_fuzzing_draws_new_cases(tmp_path: Path, files: list[str]) -> None:
    """Each pass has cases of its own."""
    first, second = (ended(tmp_path, "scripts/fuzz.sh", "0", *files) for _ in range(2))
    assert (first[0], second[0]) == (0, 0), first[1] + second[1]
    assert first[2] != second[2]
    assert "no property test failed" in first[1]


def test_fuzzing_ends_with_how_to_reproduce_a_failure(tmp_path: Path, files: list[str]) -> None:
    """The first failure ends it with exit code 1, and a line that repeats the case."""
    code, said, _ = ended(tmp_path, "scripts/fuzz.sh", "60", *files, right="")
    assert code == 1
    assert "@reproduce_failure(" in said


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    """In one line, before anything runs."""
    code, said, _ = ended(tmp_path, "scripts/fuzz.sh", "long")
    assert (code, len(said.splitlines())) == (2, 1)
    assert "'long'" in said
