"""The sentences about roofs: which one is the lower, and whether it is what stops a recipe."""

from __future__ import annotations

from typing import Any

import pytest

from densebench.report.analysis import PERFORMANCE
from densebench.report.sweep import Sweep, apply
from densebench.results.ceilings import Ceilings
from densebench.results.record import Row
from tests.factory import rows_of
from tests.report.html.shapes import CEILINGS

NAMES = ("baseline", "x")


def rows(**changes: Any) -> list[Row]:
    """2 GMAC, 30 M weights and 50 M activations an image, in FP32 and in INT8."""
    found = rows_of(
        {"baseline": {1: 20, 8: 30}, "x": {8: 80}},
        precision={"baseline": "float32", "x": "int8"},
        macs_g=dict.fromkeys(NAMES, 2.0),
        parameters=dict.fromkeys(NAMES, 30_000_000),
        activations=dict.fromkeys(NAMES, 50_000_000),
    )
    return [row.model_copy(update=changes) for row in found]


def said(found: list[Row], ceilings: Ceilings | None = CEILINGS) -> list[str]:
    """The sentences about the roofs."""
    findings = apply(PERFORMANCE, Sweep(tuple(found), ceilings=ceilings))
    return [one.sentence for one in findings if one.topic == "roof"]


ARITHMETIC = "Arithmetic, not memory, is the lower roof of"
EACH = "operations on each byte that must move at least"


def test_arithmetic_is_the_lower_roof() -> None:
    """With these counts, everywhere; the range is that of all rows."""
    assert said(rows()) == [
        f"{ARITHMETIC} every row, with 12.5 (baseline at batch 1) to 74.4 {EACH}: a larger batch doesn't raise it."
    ]


def test_memory_is_the_lower_roof() -> None:
    """Where more moves, for whom, and the range is theirs alone."""
    first, *others = rows()
    more = first.model_copy(update={"activations": 200_000_000})
    raised = "a larger batch, which shares the weights, raises it."
    assert said([more, *others]) == [
        f"Memory is the lower roof of baseline at batch 1, with 4.35 {EACH}: {raised}"
    ]
    assert said(rows(activations=500_000_000)) == [
        f"Memory is the lower roof of every row, with 1.89 (baseline at batch 1) to 7.94 {EACH}: {raised}"
    ]


def test_one_figure_is_no_range() -> None:
    """Where least is most there is one number."""
    assert said(rows()[:1]) == [f"{ARITHMETIC} every row, with 12.5 {EACH}: a larger batch doesn't raise it."]


def test_what_was_not_counted_is_left_out() -> None:
    """Rows without counts, or with other threads than the ceilings, have no roof, and that is said."""
    first, second, other = rows()
    for blind in (other.model_copy(update={"activations": None}), other.model_copy(update={"threads": 1})):
        (sentence,) = said([first, second, blind])
        assert sentence.startswith(
            f"{ARITHMETIC} all those counted, with 12.5 (baseline at batch 1) to 18.6 operations"
        )
        (sentence,) = said([first.model_copy(update={"activations": 200_000_000}), second, blind])
        assert sentence.startswith(
            "Memory is the lower roof of baseline at batch 1, of those counted, with 4.35 "
        )


def test_ceilings_measured_with_interference_are_told() -> None:
    """A roof measured under other work is too low."""
    low = CEILINGS.model_copy(update={"interference": "other processes took 1.50 of 2 cores"})
    (sentence,) = said(rows(), low)
    assert sentence.endswith(
        "(other processes took 1.50 of 2 cores), so it can do more, and the shares are too high."
    )


@pytest.mark.parametrize(
    ("macs_g", "told"),
    [
        (2.0, "baseline is saturated from batch 8 at 30 % of its arithmetic roof, so neither roof stops it."),
        (6.0, "baseline is saturated from batch 8 at 90 % of its arithmetic roof."),
    ],
)
def test_whether_a_roof_stops_it(macs_g: float, told: str) -> None:
    """Where larger batches bring no more, the share of the roof there says whether that is why."""
    found = rows_of(
        {"baseline": {1: 20, 8: 30, 32: 30}},
        precision={"baseline": "float32"},
        macs_g={"baseline": macs_g},
        parameters={"baseline": 30_000_000},
        activations={"baseline": 50_000_000},
    )
    assert told in said(found)
    wide = [row.model_copy(update={"throughput_ci_low": 15.0, "throughput_ci_high": 45.0}) for row in found]
    assert told.replace(" is ", " may be ") in said(wide)
    assert len(said(found[:2])) == 1, "of the largest batch it isn't known whether it is saturated"


def test_without_counts_or_ceilings_nothing_is_said() -> None:
    """Nothing of what wasn't counted, nor of one machine under another's roof."""
    first, *others = rows()
    elsewhere = [first.model_copy(update={"environment_id": "feedbeef"}), *others]
    assert (
        said(rows(activations=None))
        == said(rows(precision=""))
        == said(rows(), None)
        == said(elsewhere)
        == []
    )
