"""`densebench report` over one results folder, by another objective or other limits, and over several."""

from __future__ import annotations

from pathlib import Path

import pytest

from densebench.cli.report import write_across, write_again
from densebench.errors import InputError, UsageError
from tests.decision.sweeps import Speeds, cell, fresh
from tests.factory import rounded
from tests.journals import write

SPEEDS: Speeds = {"baseline": {8: 30.0}, "small": {8: 45.0}, "quick": {8: 90.0}}
SIZES = {"baseline": 30.0, "small": 8.0, "quick": 40.0}


def results(folder: Path) -> Path:
    """A run whose fastest recipe is the largest, with all recipes measured again and their artifacts saved."""
    facts = {name: {"model_size_mb": size} for name, size in SIZES.items()}
    swept = [cell(name, 8, by_size[8], **facts[name]) for name, by_size in SPEEDS.items()]
    again = [one.model_copy(update=facts[one.recipe]) for one in fresh(SPEEDS)]
    for name in SPEEDS:
        (folder / "models" / name).mkdir(parents=True)
    return write(folder, [*swept, *again])


def test_best_follows_the_answer_of_the_report(tmp_path: Path) -> None:
    """The link leads to what the report that was written last says to deploy, and goes where it names nothing."""
    folder = results(tmp_path / "results")
    for asked, deployed in (({}, "quick"), ({"max_size_mb": 20.0}, "small"), ({"max_size_mb": 5.0}, "")):
        sweep, paths = write_again(folder, asked)
        link = folder / "best"
        assert sweep.artifact == (f"models/{deployed}" if deployed else "")
        assert (link in paths) == link.is_symlink() == bool(deployed)
        if deployed:
            assert link.resolve() == (folder / "models" / deployed).resolve()


@pytest.mark.parametrize(
    ("asked", "flag"),
    [({"objective": "memory"}, "--objective memory"), ({"max_memory_mb": 9.0}, "--max-memory-mb")],
)
def test_what_no_row_can_answer_is_refused(tmp_path: Path, asked: dict[str, object], flag: str) -> None:
    """In one line that names the column; the report that is there stays."""
    folder = results(tmp_path / "results")
    write_again(folder, {})
    before = (folder / "REPORT.md").read_bytes()
    with pytest.raises(UsageError, match=rf"{flag}: no row in .* has deploy_memory_mb") as refusal:
        write_again(folder, asked)
    assert "\n" not in str(refusal.value)
    assert (folder / "REPORT.md").read_bytes() == before


def test_one_report_over_several_folders(tmp_path: Path) -> None:
    """Each is read from its journal and stays as it is; the report goes into a folder of its own."""
    for name, speed in (("one", 60), ("two", 90)):
        write(tmp_path / name, [rounded("baseline", 8, 30), rounded("x", 8, speed)])
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    path = write_across([tmp_path / "one", tmp_path / "two"], tmp_path / "across", None, {})
    markdown = path.with_name("REPORT.md")
    assert "| x | 2.00x (1) | 3.00x (1) |" in markdown.read_text(encoding="utf-8")
    assert "3.00x" in path.read_text(encoding="utf-8")
    assert sorted(one for one in tmp_path.rglob("*") if one.is_file()) == sorted([*before, path, markdown])


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    """Nothing would tell them apart."""
    for name in ("a/results", "b/results"):
        write(tmp_path / name, [rounded("baseline", 8, 30)])
    with pytest.raises(InputError, match="two of the results folders are called 'results'"):
        write_across([tmp_path / "a/results", tmp_path / "b/results"], tmp_path / "across", None, {})
    assert not (tmp_path / "across").exists()
