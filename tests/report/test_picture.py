"""What a picture says: the names in a chart's traces and above it are drawn."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from densebench.report.html.ceiling_chart import ceiling_bars
from densebench.report.html.chart import Chart
from densebench.report.html.roofline_chart import roofline
from densebench.report.html.style import series_of
from densebench.report.picture import picture
from tests.report.html.shapes import CEILINGS, everything

ROWS = everything()


def words(chart: Chart | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that lies within the picture of a chart's first view."""
    assert chart is not None
    said: list[str] = []
    save = Figure.savefig

    def watch(figure: Figure, *args: Any, **options: Any) -> None:
        save(figure, *args, **options)
        frame = figure.bbox
        for text in figure.findobj(Text):
            box = text.get_window_extent()
            if text.get_visible() and frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1):
                said.append(text.get_text())

    monkeypatch.setattr(Figure, "savefig", watch)
    assert picture(chart, chart.views[0]).png.startswith(b"\x89PNG")
    return said


def test_roofs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each roof of the roofline has its precision beside it, once."""
    said = words(roofline(series_of(ROWS), CEILINGS), monkeypatch)
    assert (said.count("FP32"), said.count("INT8")) == (1, 1)


def test_ceilings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ceiling has its precision and its figure above it, each bar its share at its end."""
    said = words(ceiling_bars(series_of(ROWS), CEILINGS), monkeypatch)
    assert {"FP32 400", "INT8 1600"} <= set(said)
    assert said.count("30 %") == 3
