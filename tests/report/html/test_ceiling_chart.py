"""Bars against the ceiling of each recipe's own precision."""

from __future__ import annotations

import re
from typing import Any

import plotly.graph_objects as go
import pytest

from densebench.report.html import page
from densebench.report.html.style import THEMES, painted, series_of
from densebench.results.record import Row
from tests.factory import header, rows_of
from tests.report.html.shapes import CEILINGS
from tests.report.html.test_page import charts_of

KEPT = CEILINGS.model_dump(mode="json")


def rows(**changes: Any) -> list[Row]:
    """A baseline in FP32, a recipe in INT8, and one without a share."""
    found = rows_of(
        {"baseline": {1: 20, 8: 30}, "x": {8: 80}, "blind": {8: 50}},
        precision={"baseline": "float32", "x": "int8"},
        macs_g={"baseline": 2.0, "x": 2.0, "blind": 2.0},
        roofline_fraction={"baseline": 0.3, "x": 0.2},
    )
    return [row.model_copy(update=changes) for row in found]


def drawn(found: list[Row], ceilings: dict[str, Any] | None = KEPT) -> dict[str, Any] | None:
    """The chart in the page, if it is there."""
    return charts_of(found, ceilings).get("ceilings")


def test_each_bar_is_held_against_its_own_precision() -> None:
    """What is reached in the recipe's colour, its share at the end, its ceiling as a mark."""
    found = rows()
    chart = drawn(found)
    assert chart is not None
    bar, marks = chart["views"][-1]["data"]
    assert bar["x"] == [pytest.approx(120), pytest.approx(320)]  # 2 x 2 GMAC x 30 and 80 images/s
    assert bar["text"] == ["30 %", "20 %"]
    assert marks["x"] == [400, 1600]
    assert marks["y"] == bar["y"]
    colours = {one.recipe: one.colour for one in series_of(found)}
    assert bar["marker"]["color"] == [colours["baseline"], colours["x"]]
    layout = chart["views"][-1]["layout"]
    assert [one["text"] for one in layout["annotations"]] == ["FP32 400", "INT8 1600"]
    assert "GOP/s" in layout["xaxis"]["title"]["text"]
    assert layout["xaxis"]["range"][1] > 1600
    assert all("<b>" not in one for one in marks["customdata"])


def test_the_same_in_words() -> None:
    """Every bar in a table."""
    chart = drawn(rows())
    assert chart is not None
    (shares,) = chart["figures"]
    assert shares["lines"] == [
        ["baseline", "FP32", "1", "80.0", "400", "30"],
        ["baseline", "FP32", "8", "120", "400", "30"],
        ["x", "INT8", "8", "320", "1600", "20"],
    ]


def test_it_is_in_plotlys_own_words() -> None:
    """Plotly knows each property, in both themes."""
    chart = drawn(rows())
    assert chart is not None
    for theme in THEMES:
        for view in chart["views"]:
            assert go.Figure(painted(view["data"], theme), painted(view["layout"], theme)).data


def test_it_stands_between_the_operators_and_the_build() -> None:
    """In the section that has said so far that nothing was measured."""
    text = page(header(ceilings=KEPT), rows())
    places = [text.index(f'<section id="{name}"') for name in ("operators", "roofline", "build")]
    assert places == sorted(places)
    assert "Not measured: the records hold no share" not in text
    assert re.search(r"Operations a second, and the ceiling of each recipe", text[places[1] : places[2]])


def test_ceilings_measured_with_interference_are_told() -> None:
    """Shares of a ceiling that is too low are too high."""
    low = CEILINGS.model_copy(update={"interference": "other processes took 1.50 of 2 cores"})
    told = page(header(ceilings=low.model_dump(mode="json")), rows())
    assert "(other processes took 1.50 of 2 cores), so it can do more" in told
    assert "so it can do more" not in page(header(ceilings=KEPT), rows())


def test_without_shares_or_ceilings_there_is_none() -> None:
    """Nothing is drawn that was not measured, and nothing of one machine is held against another's ceiling."""
    assert drawn(rows(roofline_fraction=None)) is None
    assert drawn(rows(precision="")) is None
    assert drawn(rows(threads=1)) is None, "another ceiling would be theirs"
    assert drawn(rows(), None) is None
    assert drawn(rows(), {"device": "cpu"}) is None
    first, *others = rows()
    assert drawn([first.model_copy(update={"environment_id": "feedbeef"}), *others]) is None
