"""`densebench report` over several results folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from densebench.cli.report import write_across
from densebench.errors import InputError
from tests.factory import rounded
from tests.journals import write


def test_one_report_over_several_folders(tmp_path: Path) -> None:
    """Each is read from its journal and stays as it is; the report goes into a folder of its own."""
    for name, speed in (("one", 60), ("two", 90)):
        write(tmp_path / name, [rounded("baseline", 8, 30), rounded("x", 8, speed)])
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    path = write_across([tmp_path / "one", tmp_path / "two"], tmp_path / "across", None, {})
    text = path.read_text(encoding="utf-8")
    assert "| x | 2.00x (1) | 3.00x (1) |" in text
    assert sorted(one for one in tmp_path.rglob("*") if one.is_file()) == sorted([*before, path])


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    """Nothing would tell them apart."""
    for name in ("a/results", "b/results"):
        write(tmp_path / name, [rounded("baseline", 8, 30)])
    with pytest.raises(InputError, match="two of the results folders are called 'results'"):
        write_across([tmp_path / "a/results", tmp_path / "b/results"], tmp_path / "across", None, {})
    assert not (tmp_path / "across").exists()
