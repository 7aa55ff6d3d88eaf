"""Which recipes no other beats in both throughput and accuracy."""

from __future__ import annotations

from densebench.report.pareto import Point, front
from densebench.report.sweep import Sweep
from densebench.results.record import Row
from tests.factory import rows_of


def points(rows: list[Row]) -> dict[str, Point]:
    """The place of every recipe."""
    sweep = Sweep(tuple(rows))
    return {point.row.recipe: point for point in front(sweep, sweep.best)}


def places(rows: list[Row]) -> dict[str, str]:
    """on, off or uncertain, by recipe."""
    return {name: point.membership for name, point in points(rows).items()}


def answers(wrong: set[int], total: int = 100) -> str:
    """Right everywhere but there."""
    return "".join("0" if index in wrong else "1" for index in range(total))


def with_answers(speeds: dict[str, float], wrong: dict[str, set[int]]) -> list[Row]:
    """Rows at batch 8 with their answers and the accuracy that follows."""
    return rows_of(
        {name: {8: speed} for name, speed in speeds.items()},
        accuracy_top1={name: 100.0 - len(which) for name, which in wrong.items()},
        correct_top1={name: answers(which) for name, which in wrong.items()},
    )


def test_clear_cases() -> None:
    """The fastest and the most accurate are on the front, what is worse in both is not."""
    rows = with_answers(
        {"baseline": 30, "fast": 90, "poor": 20},
        {"baseline": set(range(2)), "fast": set(range(20)), "poor": set(range(30))},
    )
    assert places(rows) == {"baseline": "on", "fast": "on", "poor": "off"}
    assert points(rows)["poor"].rival == "fast"


def test_the_same_answers_are_the_same_accuracy() -> None:
    """A slower recipe that answers each image alike is beaten for certain, however wide the interval is."""
    rows = with_answers({"baseline": 30, "fast": 90}, {"baseline": {1, 2}, "fast": {1, 2}})
    assert places(rows) == {"baseline": "off", "fast": "on"}


def test_a_few_other_answers_leave_it_open() -> None:
    """One image more that is right proves nothing, so whether the slower recipe is beaten is not certain."""
    rows = with_answers({"baseline": 30, "fast": 90}, {"baseline": {1, 2}, "fast": {1, 2, 3}})
    assert places(rows) == {"baseline": "uncertain", "fast": "on"}
    assert points(rows)["baseline"].by_estimate


def test_throughputs_whose_intervals_overlap() -> None:
    """Intervals decide where there are any, and 3 % where there are none."""
    speeds = {"baseline": {8: 30.0}, "a": {8: 90.0}, "b": {8: 85.0}}
    accuracy = {"baseline": 99.0, "a": 98.0, "b": 98.0}
    assert places(rows_of(speeds, accuracy_top1=accuracy))["b"] == "off"
    wide = [
        row.model_copy(
            update={
                "throughput_ci_low": 0.9 * (row.throughput_samples_per_s or 0),
                "throughput_ci_high": 1.1 * (row.throughput_samples_per_s or 0),
            }
        )
        for row in rows_of(speeds, accuracy_top1=accuracy)
    ]
    assert places(wide) == {"baseline": "on", "a": "uncertain", "b": "uncertain"}


def test_unknown_accuracy_has_no_place() -> None:
    """A recipe without accuracy is not on the chart; one without single answers has no interval."""
    rows = rows_of({"baseline": {8: 30}, "a": {8: 90}}, accuracy_top1={"baseline": 99.0})
    assert list(points(rows)) == ["baseline"]
    assert points(rows)["baseline"].low is None
