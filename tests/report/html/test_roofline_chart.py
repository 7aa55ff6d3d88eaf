"""The roofline: markers at the operations on each byte, under the roof of their precision."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from densebench.report.html import page
from densebench.report.html.style import THEMES, painted
from densebench.report.roofline import intensity, roof
from densebench.results.record import Row
from tests.factory import header, rows_of
from tests.report.html.shapes import CEILINGS
from tests.report.html.test_page import charts_of

KEPT = CEILINGS.model_dump(mode="json")
NAMES = ("baseline", "x", "blind")


def rows(**changes: Any) -> list[Row]:
    """2 GMAC, 30 M weights and 50 M activations an image, in FP32 and in INT8; of one recipe nothing is counted."""
    found = rows_of(
        {"baseline": {1: 20, 8: 30}, "x": {8: 80}, "blind": {8: 50}},
        precision={"baseline": "float32", "x": "int8", "blind": "int8"},
        macs_g=dict.fromkeys(NAMES, 2.0),
        parameters=dict.fromkeys(NAMES, 30_000_000),
        activations=dict.fromkeys(NAMES[:2], 50_000_000),
    )
    return [row.model_copy(update=changes) for row in found]


def drawn(found: list[Row], ceilings: dict[str, Any] | None = KEPT) -> dict[str, Any] | None:
    """The chart in the page, if it is there."""
    return charts_of(found, ceilings).get("roofline")


def test_operations_on_each_byte() -> None:
    """Four bytes an element in FP32, one in INT8; a larger batch shares the weights."""
    first, second, integer, blind = rows()
    assert intensity(first) == pytest.approx(4e9 / (4 * 80e6))
    assert intensity(second) == pytest.approx(8 * 4e9 / (4 * (8 * 50e6 + 30e6)))
    assert intensity(integer) == pytest.approx(4 * (intensity(second) or 0))
    assert intensity(blind) is None


def test_the_roof_is_the_lower_of_both() -> None:
    """Memory's slope up to the bend, arithmetic from there on."""
    assert roof(5, "float32", CEILINGS) == 200
    assert roof(10, "float32", CEILINGS) == roof(100, "float32", CEILINGS) == 400
    assert roof(100, "int8", CEILINGS) == 1600


def test_markers_stand_under_the_roof_of_their_precision() -> None:
    """What is reached at the operations on each byte, and a line for each precision that bends where it should."""
    found = rows()
    chart = drawn(found)
    assert chart is not None
    (view,) = chart["views"]
    roofs, marks = view["data"][:2], view["data"][2:]
    assert [one["text"][-1] for one in roofs] == ["FP32", "INT8"]
    for trace, name in zip(roofs, ("float32", "int8"), strict=True):
        assert trace["y"] == [pytest.approx(roof(across, name, CEILINGS)) for across in trace["x"]]
    assert 40 in roofs[1]["x"], "1600 GOP/s at 40 GB/s"
    assert marks[0]["x"] == [pytest.approx(intensity(found[0])), pytest.approx(intensity(found[1]))]
    assert marks[0]["y"] == [pytest.approx(80), pytest.approx(120)]  # 2 x 2 GMAC x 20 and 30 images/s
    assert len(marks) == 2, "what was not counted is not drawn"


def test_the_same_in_words() -> None:
    """Every marker in a table with what its roof is of, and the roofs with the engine that reached each."""
    chart = drawn(rows())
    assert chart is not None
    under, roofs = chart["figures"]
    assert under["lines"] == [
        ["baseline", "FP32", "1", "12.5", "80.0", "400", "arithmetic", "20"],
        ["baseline", "FP32", "8", "18.6", "120", "400", "arithmetic", "30"],
        ["x", "INT8", "8", "74.4", "320", "1600", "arithmetic", "20"],
    ]
    assert "may stand above its roof" in page(header(ceilings=KEPT), rows())
    assert roofs["lines"] == [["FP32", "one", "400", "10.0"], ["INT8", "<b>other", "1600", "40.0"]]
    assert "40.0 GB/s" in roofs["title"]


def test_it_is_in_plotlys_own_words() -> None:
    """Plotly knows each property, in both themes."""
    chart = drawn(rows())
    assert chart is not None
    for theme in THEMES:
        for view in chart["views"]:
            assert go.Figure(painted(view["data"], theme), painted(view["layout"], theme)).data


def test_without_counts_or_ceilings_there_is_none() -> None:
    """Nothing is drawn of what wasn't counted, nor of one machine, or number of threads, under another's roof."""
    first, *others = rows()
    elsewhere = [first.model_copy(update={"environment_id": "feedbeef"}), *others]
    for found, ceilings in (
        (rows(activations=None), KEPT),
        (rows(precision=""), KEPT),
        (rows(), None),
        (rows(), {"device": "cpu"}),
        (elsewhere, KEPT),
        (rows(threads=1), KEPT),
    ):
        assert drawn(found, ceilings) is None
