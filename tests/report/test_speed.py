"""What is said of speed where there are intervals: how sure it is stands in the sentence."""

from __future__ import annotations

import pytest

from densebench.record import Row
from densebench.report.speed import by_batch_size, overall, saturation
from densebench.report.sweep import Rule, Sweep
from tests.factory import rows_of

Ends = dict[tuple[str, int], tuple[float, float]]  # of each cell's interval


def said(rule: Rule, rows: list[Row]) -> list[str]:
    """The sentences of one rule."""
    return [one.sentence for one in rule(Sweep(tuple(rows)))]


def within(rows: list[Row], ends: Ends, figure: str = "throughput") -> list[Row]:
    """The rows, with these intervals of the figure."""
    names = (f"{figure}_ci_low", f"{figure}_ci_high")
    return [row.model_copy(update=dict(zip(names, ends.get(row.key, ()), strict=False))) for row in rows]


@pytest.mark.parametrize(
    ("first", "last", "sure"),
    [
        ((97, 99), (99, 101), "is"),
        ((90, 106), (92, 108), "may be"),
        ((97, 99), (90, 110), "may be"),  # the best may be much better
        ((94, 102), (99, 101), "may be"),  # the smaller one may be much worse
    ],
)
def test_a_batch_size_is_enough_where_the_intervals_settle_it(
    first: tuple[float, float], last: tuple[float, float], sure: str
) -> None:
    """The lower end of its throughput against the upper ends of the others'."""
    rows = within(rows_of({"x": {1: 98, 8: 100}}), {("x", 1): first, ("x", 8): last})
    assert said(saturation, rows) == [f"Batch 1 {sure} enough for 95 % of the best throughput of x."]


def test_the_best_batch_size_may_not_be_it() -> None:
    """Another one's interval reaches far above it; recipes for which it is settled are told apart."""
    rows = within(
        rows_of({"x": {1: 100, 8: 98}, "y": {1: 100, 8: 98}}),
        {
            ("x", 1): (99, 101),
            ("x", 8): (70, 130),
            ("y", 1): (99, 101),
            ("y", 8): (97, 99),
        },
    )
    assert said(saturation, rows) == [
        "Batch 1 is enough for 95 % of the best throughput of y.",
        "Batch 1 may be enough for 95 % of the best throughput of x.",
    ]


def test_a_speed_up_has_its_interval_beside_it() -> None:
    """Where the row has one, at each batch size and over all."""
    rows = within(rows_of({"baseline": {8: 30}, "x": {8: 90}}), {("x", 8): (2.5, 3.6)}, "speedup")
    gain = "3.00x (2.50x to 3.60x with 95 % confidence)"
    (sentence,) = said(by_batch_size, rows)
    assert sentence == (
        f"At batch 8, x is fastest with 90.0 images/s, {gain} the baseline (30.0 images/s); next is baseline with "
        "30.0 images/s (67 % behind)."
    )
    (sentence,) = said(overall, rows)
    assert sentence == (
        f"Highest throughput: x with 90.0 images/s at batch 8, {gain} the best of the baseline (30.0 images/s at "
        "batch 8); the runner-up is baseline with 30.0 images/s (67 % behind)."
    )


def test_across_batch_sizes_both_intervals_bound_the_ratio() -> None:
    """No blocks of theirs are pairs: the lowest over the highest, and the highest over the lowest."""
    rows = within(
        rows_of({"baseline": {1: 30}, "x": {8: 90}}), {("baseline", 1): (25, 40), ("x", 8): (80, 100)}
    )
    (sentence,) = said(overall, rows)
    assert "3.00x (2.00x to 4.00x by the ends of both intervals) the best of the baseline (30.0" in sentence
