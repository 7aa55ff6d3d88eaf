"""The CSV, and the atomic writer under it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from densebench import files
from densebench.results.columns import COLUMNS
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.sinks.csv_file import write_csv
from tests.factory import record, timed
from tests.results.test_record import CONTRACT


def test_header_is_the_contracts(tmp_path: Path) -> None:
    """The first line is the contract's list of columns, and every row has that many cells."""
    path = tmp_path / "rows.csv"
    write_csv(path, derive([timed("a", 8, 30)]))
    lines = list(csv.reader(path.open(newline="")))
    assert ", ".join(lines[0]) == CONTRACT.replace("\n", " ").strip()
    assert [len(line) for line in lines] == [len(COLUMNS)] * 2


def test_cells_come_back(tmp_path: Path) -> None:
    """Names and reasons with commas, quotes and line ends come back; unmeasured figures are blank."""
    reason = 'he said "no", twice\nand left'
    path = tmp_path / "rows.csv"
    write_csv(path, derive([record(recipe="<a>|,b", status=Status.FAILED, reason=reason)]))
    row = next(csv.DictReader(path.open(newline="")))
    assert (row["recipe"], row["reason"], row["status"]) == ("<a>|,b", reason, "failed")
    assert row["throughput_samples_per_s"] == row["speedup"] == ""


def test_no_rows_is_a_header(tmp_path: Path) -> None:
    """A run without rows still leaves a table."""
    write_csv(tmp_path / "rows.csv", [])
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """When the disk fails at any step, the old file is whole and no temporary one is left."""
    path = tmp_path / "rows.csv"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        write_csv(path, derive([timed("a", 1, 1)]))
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["rows.csv"]


def test_atomic_write_keeps_bytes_and_permissions(tmp_path: Path) -> None:
    """Text is written as it is, newlines too, and is as readable as any new file."""
    files.write_text(tmp_path / "a", "ä\r\n\n")
    files.write_bytes(tmp_path / "a", (tmp_path / "a").read_bytes() + b"\x00")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a").read_bytes() == "ä\r\n\n\x00".encode()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_atomic_write_needs_its_folder(tmp_path: Path) -> None:
    """A missing folder is an error of the system, with nothing left behind."""
    with pytest.raises(FileNotFoundError):
        files.write_text(tmp_path / "missing" / "a", "text")
    assert list(tmp_path.iterdir()) == []
