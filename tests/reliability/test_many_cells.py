"""A suite of 2,000 cells: what the parent does for them, with children that answer at once."""

from __future__ import annotations

import csv

import pytest

from densebench import suite
from densebench.sinks import journal
from densebench.sinks.console import Progress
from densebench.spec import RunSpec
from tests.reliability.nursery import InstantNurseries

RECIPES, SIZES = 200, tuple(range(1, 11))


@pytest.mark.timeout(240)
def test_two_thousand_cells(tmp_path, monkeypatch):
    """Every cell is in the journal once and in the CSV once, in order, and the report is written."""
    monkeypatch.setattr(suite, "Nurseries", InstantNurseries)
    monkeypatch.setattr(suite, "write_board", lambda *_: None)  # pictures of 200 recipes, two seconds each
    names = tuple(f"pruning:amount={number / 1000}" for number in range(1, RECIPES))
    spec = RunSpec.create(
        recipes=names,
        batch_sizes=SIZES,
        output_dir=tmp_path / "out",
        log_dir=tmp_path / "log",
        rounds=1,
        focus_batch_sizes=(),
        repeats=0,
        ceilings=False,
    )
    outcome = suite.run(spec, Progress())
    cells = [(recipe, size) for recipe in ("baseline", *names) for size in SIZES]
    assert outcome.exit_code == 0
    _, records = journal.read(tmp_path / "out")
    assert sorted(record.key for record in records) == sorted(cells)
    with (tmp_path / "out" / "benchmark_results.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["recipe"], int(row["batch_size"])) for row in csv.DictReader(file)]
    assert rows == cells
    assert (tmp_path / "out" / "report.html").exists()
