"""Rows from records: of several environments none replaces another's."""

from __future__ import annotations

import pytest

from densebench.results.derive import derive
from tests.factory import record, timed

HERE, THERE = "0badcafe", "feedbeef"
RECORDS = [
    timed("baseline", 8, 30, accuracy_top1=99.0),
    timed("x", 8, 60, accuracy_top1=98.0),
    timed("baseline", 8, 60, accuracy_top1=90.0, environment_id=THERE),
    timed("x", 8, 90, accuracy_top1=90.0, environment_id=THERE),
    timed("x", 1, 50, environment_id=THERE),
]


def test_no_row_of_one_machine_replaces_anothers() -> None:
    """The same cell on two machines is two rows; a recipe's stand together, machine by machine, by batch size."""
    assert [(row.recipe, row.environment_id, row.batch_size) for row in derive(RECORDS)] == [
        ("baseline", HERE, 8),
        ("baseline", THERE, 8),
        ("x", HERE, 8),
        ("x", THERE, 1),
        ("x", THERE, 8),
    ]


def test_each_machine_has_its_own_baseline() -> None:
    """Speed-up and accuracy are against the baseline of the same machine, and there is none across."""
    found = {(row.recipe, row.environment_id, row.batch_size): row for row in derive(RECORDS)}
    here, there = found["x", HERE, 8], found["x", THERE, 8]
    assert (here.speedup, here.accuracy_drop_pp) == (pytest.approx(2), pytest.approx(1))
    assert (there.speedup, there.accuracy_drop_pp) == (pytest.approx(1.5), pytest.approx(0))
    assert found["x", THERE, 1].speedup is None
    alone = derive([RECORDS[0], RECORDS[3]])
    assert (alone[1].speedup, alone[1].accuracy_drop_pp) == (None, None)


def test_a_cell_measured_again_counts_once_on_its_machine() -> None:
    """The last record of a cell replaces the earlier one of its own machine only."""
    again = derive([*RECORDS, timed("x", 8, 120)])
    assert len(again) == 5
    speeds = {row.environment_id: row.speedup for row in again if row.key == ("x", 8)}
    assert speeds == {HERE: pytest.approx(4), THERE: pytest.approx(1.5)}


def test_without_the_baselines_row_there_is_no_speedup() -> None:
    """Although pairs with the reference process are there: that is one of three whose mean counts."""
    pairs = [[((10.0,), (20.0,))]] * 3
    recipe = record(recipe="x", pairs=pairs)
    baseline = record(pairs=[[((20.0,), (20.0,))]] * 3)
    assert derive([baseline, recipe])[1].speedup == pytest.approx(2)
    failed = record(status="failed", reason="boom")
    assert [row.speedup for row in derive([failed, recipe])] == [None, None]


def test_a_confirmation_enters_no_row() -> None:
    """Its rounds check a choice that was made without them."""
    fresh = timed("x", 8, 999, stage="confirmation")
    assert derive([*RECORDS, fresh]) == derive(RECORDS)
