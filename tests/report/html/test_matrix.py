"""The comparison at a glance: who stands first, and what each square says."""

from __future__ import annotations

from dataclasses import replace

from densebench.report.html.matrix import Matrix, matrix
from densebench.report.html.style import series_of
from densebench.report.sweep import Sweep
from densebench.results.observation import Status
from densebench.spec import Objective
from tests.factory import broken, rows_of

ROWS = (
    *rows_of(
        {"baseline": {1: 20, 8: 30}, "quick": {1: 18, 8: 90}, "small": {1: 20.1}},
        model_size_mb={"baseline": 32.0, "quick": 40.0, "small": 8.0},
    ),
    *broken("gone", [1, 8], Status.SKIPPED, "not installed"),
)


def shown(objective: Objective = "throughput") -> Matrix:
    """The matrix of the rows, with `quick` at batch 8 recommended."""
    sweep = Sweep(ROWS, objective=objective)
    return matrix(sweep, series_of(ROWS), sweep.find("quick", 8))


def test_the_best_by_the_objective_comes_first() -> None:
    """Recipes without a figure come last, whatever the objective is."""
    assert [line.series.name for line in shown().lines] == ["quick", "baseline", "small", "gone"]
    by_size = shown("size")
    assert [line.series.name for line in by_size.lines] == ["small", "baseline", "quick", "gone"]
    assert [line.best for line in by_size.lines] == ["8.00", "32.0", "40.0", ""]
    assert (by_size.best, by_size.unit) == ("best size", "MB")


def test_each_square_has_its_verdict() -> None:
    """Speed-up and images per second; what did not run says how it ended, what was not asked for has a dash."""
    lines = {line.series.name: line.squares for line in shown().lines}
    first, second = lines["quick"]
    assert (first.verdict, first.text, first.speed, first.chosen) == ("slower", "▼ 0.90x", "18.0", False)
    assert (second.verdict, second.text, second.speed, second.chosen) == ("faster", "▲ 3.00x", "90.0", True)
    assert [one.text for one in lines["small"]] == ["= 1.00x", "-"]
    assert [one.text for one in lines["baseline"]] == ["baseline", "baseline"]
    assert [(one.text, one.verdict) for one in lines["gone"]] == [("skipped", "skipped")] * 2


def test_without_a_baseline_nothing_is_compared() -> None:
    """The images per second stand there all the same."""
    rows = tuple(rows_of({"alone": {8: 30}}))
    found = matrix(replace(Sweep(ROWS), rows=rows), series_of(rows), None)
    assert [(one.text, one.speed) for one in found.lines[0].squares] == [("not compared", "30.0")]
