"""What is said of speed where there are intervals: how sure it is stands in the sentence."""

from __future__ import annotations

import pytest

from densebench.report.speed import by_batch_size, overall, precision_share, saturation, slow_down
from densebench.report.sweep import Rule, Sweep
from densebench.results.record import Row
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
        ((97, 99), (99, 101), True),
        ((90, 106), (92, 108), False),
        ((97, 99), (90, 110), False),  # the best may be much better
        ((94, 102), (99, 101), False),  # the smaller one may be much worse
    ],
)
def test_a_batch_size_is_enough_where_the_intervals_settle_it(
    first: tuple[float, float], last: tuple[float, float], *, sure: bool
) -> None:
    """The lower end of its throughput against the upper ends of the others'."""
    rows = within(rows_of({"x": {1: 98, 8: 100}}), {("x", 1): first, ("x", 8): last})
    more = "" if sure else " The intervals are too wide to be certain of any of these."
    assert said(saturation, rows) == [f"95 % of the best throughput is reached at batch 1 by x.{more}"]


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
        "95 % of the best throughput is reached at batch 1 by x and y. That is certain of y alone.",
    ]


def test_a_speed_up_has_its_interval_beside_it() -> None:
    """Where the row has one, at each batch size and over all."""
    rows = within(rows_of({"baseline": {8: 30}, "x": {8: 90}}), {("x", 8): (2.5, 3.6)}, "speedup")
    gain = "3.00x (2.50x to 3.60x with 95 % confidence)"
    (sentence,) = said(by_batch_size, rows)
    assert sentence == (f"Fastest by batch size: x at batch 8 with 90.0 images/s, {gain} the baseline.")
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


def test_who_leads_at_several_batch_sizes_is_named_once() -> None:
    """With the range of its figures; where the baseline leads, that, and where nobody clearly does, too."""
    rows = rows_of(
        {
            "baseline": {1: 20, 2: 30, 4: 40, 8: 50},
            "x": {1: 60, 2: 60, 4: 30, 8: 50.1},
        }
    )
    (sentence,) = said(by_batch_size, rows)
    assert sentence == (
        "Fastest by batch size: x at batches 1 and 2 with 60.0 images/s, 2.00x to 3.00x the baseline; nothing is "
        "faster than the baseline at batch 4 (40.0 images/s); nothing is clearly faster than the baseline at batch "
        "8 (the highest figure is x's, 50.1 images/s)."
    )


def test_what_the_runtime_gives_and_what_int8_adds() -> None:
    """Of the same techniques and engine in both precisions, at the batch size where INT8 is fastest."""
    rows = rows_of(
        {"baseline": {8: 10}, "engine": {8: 30}, "engine_int8": {8: 60}, "other_int8": {8: 50}},
        precision={"engine": "float32", "engine_int8": "int8", "other_int8": "int8"},
        steps={
            "engine": "engine",
            "engine_int8": "engine:precision=int8",
            "other_int8": "other:precision=int8",
        },
    )
    assert said(precision_share, rows) == [
        "Runtime and precision apart: engine gives 3.00x at batch 8, and INT8 (engine_int8) another 2.00x."
    ]


def test_many_recipes_that_get_slower_are_counted() -> None:
    """The one that loses most is named."""
    falling = {f"r{number}": {1: 50, 8: 50 - 3 * number} for number in range(2, 10)}
    (sentence,) = said(slow_down, rows_of(falling))
    assert sentence == (
        "8 of 8 recipes get slower with larger batches, most of all r9 (50.0 images/s at batch 1, 23.0 at batch 8)."
    )
