"""What an earlier run left is moved out of the way, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from densebench.errors import InputError
from densebench.output.aside import check_folders, set_aside
from densebench.sinks.log_folder import OWNER, claim


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
    check_folders(out, log)
    set_aside(out, log)
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
    set_aside(tmp_path, tmp_path / "log")
    assert files(tmp_path) == before


def test_logs_of_a_run_into_another_folder_are_not_written_over(tmp_path: Path) -> None:
    """They are by default where this run's are to be: they go where earlier logs of this folder would."""
    fill(tmp_path / "log", *OUR_LOGS, *YOUR_LOGS)
    fill(tmp_path / "first", *OURS)
    set_aside(tmp_path / "second", tmp_path / "log")
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
    set_aside(out, log, going_on="today")
    assert files(tmp_path) == before
    claim(log, "today")
    set_aside(out, log, going_on="today")
    assert files(tmp_path) == before | {f"log/{OWNER}"}
    set_aside(out, log, going_on="yesterday")
    (aside,) = (out / "previous").iterdir()
    assert files(aside) == {f"tensorboard/{name}" for name in (*OUR_LOGS, OWNER)}
    assert files(log) == set(YOUR_LOGS)


def test_a_relative_folder_is_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--output-dir .` beside an absolute log folder in it: what is moved is found all the same."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, *OURS, "thesis.tex")
    fill(tmp_path / "log", *OUR_LOGS)
    set_aside(Path(), tmp_path / "log")
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
        check_folders(tmp_path / out, tmp_path / log)


@pytest.mark.parametrize("name", ["README.md", "REPORT.md", "report.html", "benchmark_results.csv"])
def test_a_report_of_someone_else_is_not_written_over(tmp_path: Path, name: str) -> None:
    """A run in a project's own folder would replace its README; beside a journal they are a run's."""
    fill(tmp_path, name)
    with pytest.raises(InputError, match=f"{name} is of no run here"):
        check_folders(tmp_path, tmp_path / "log")
    fill(tmp_path, "journal.jsonl")
    check_folders(tmp_path, tmp_path / "log")
