"""A chart as data: what Plotly draws, and the same figures as a table for those who can't see it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from densebench.report.html.style import Series
from densebench.results.derive import by_environment
from densebench.spec import BASELINE
from densebench.text import short

Spec = dict[str, Any]  # a trace or a layout, in Plotly's own words


@dataclass(frozen=True)
class Figures:
    """A table: headings, lines of text, and how many of the first columns are no numbers."""

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    title: str = ""


@dataclass(frozen=True)
class View:
    """One state of a chart: its traces and layout under the label of its choice.

    `batch_size` is that of a view that shows one, of one environment.
    """

    label: str
    traces: tuple[Spec, ...]
    layout: Spec
    batch_size: int | None = None


@dataclass(frozen=True)
class Chart:
    """A titled figure. More than one view makes a choice above it; `legend` has a button for each series."""

    name: str
    title: str
    caption: str
    views: tuple[View, ...]
    figures: tuple[Figures, ...]
    legend: tuple[Series, ...] = ()
    hidden: frozenset[str] = frozenset()  # names of series that wait for their button
    choice: str = "batch size"

    def spec(self) -> Spec:
        """What the page's script needs."""
        tables = [
            {"title": one.title, "headings": one.headings, "lines": one.lines, "text": one.text_columns}
            for one in self.figures
        ]
        return {
            "name": self.name,
            "figures": tables,
            "hidden": [series.label for series in self.legend if series.name in self.hidden],
            "views": [
                {"data": list(view.traces), "layout": {"height": 380} | view.layout} for view in self.views
            ],
        }


@dataclass(frozen=True)
class Bar:
    """A series' value with its interval, as one horizontal bar."""

    series: Series
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    of_which: float = 0  # the first part of the value, drawn in grey


def axis(title: str, **more: object) -> Spec:
    """An axis with its unit."""
    return {"title": {"text": title}, **more}


def log_axis(title: str, values: Sequence[float], **more: object) -> Spec:
    """A logarithmic axis with its unit, marked at 1, 2 and 5 and their multiples by ten around the values."""
    low, high = min(values), max(values)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    ticks = [mark for mark in marks if low / 2 <= mark <= 2 * high]
    return axis(title, type="log", tickvals=ticks, ticktext=[f"{mark:g}" for mark in ticks], **more)


def lanes(series: Sequence[Series]) -> Spec:
    """The vertical axis of a chart with one lane per series, the first at the top, and the height for them all."""
    labels = [one.label for one in series]
    lines = max((label.count("<br>") + 1 for label in labels), default=1)
    return {
        "yaxis": {
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "range": [len(labels) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        },
        "height": 90 + len(labels) * max(28, 15 * lines + 10),
    }


def bars(values: Sequence[Bar], title: str, *, log: bool = False) -> View:
    """Horizontal bars in their series' colours, with their figures at the ends and a line at the baseline's."""
    reach = max((bar.high or bar.value for bar in values), default=1.0)
    drawn = [bar.value for bar in values]
    log = log and min(drawn, default=0) > 0  # a value of 0 has no place on a logarithmic axis
    horizontal = log_axis(title, drawn) if log else axis(title, range=[0, 1.18 * reach or 1])
    reference = _of_baseline(values)
    shapes = [] if reference is None else [_line_at(reference)]
    layout = {"xaxis": horizontal, "barmode": "stack", "shapes": shapes} | lanes(
        [bar.series for bar in values]
    )
    return View("", tuple(_stacked(values)), layout)


def _stacked(values: Sequence[Bar]) -> Iterator[Spec]:
    """The bars: their first parts in grey where any has one, then the rest with figure and interval."""
    common: Spec = {"type": "bar", "orientation": "h", "y": list(range(len(values))), "width": 0.7}
    if any(bar.of_which for bar in values):
        grey = {"color": "@kind3", "line": {"width": 0}}
        yield {**common, "x": [bar.of_which for bar in values], "marker": grey, "hoverinfo": "skip"}
    yield {
        **common,
        "x": [bar.value - bar.of_which for bar in values],
        "marker": {"color": [bar.series.colour for bar in values]},
        "text": [bar.text for bar in values],
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "customdata": [bar.series.label for bar in values],
        "hovertemplate": "%{customdata}: %{text}<extra></extra>",
        "error_x": _errors(values),
    }


def _line_at(value: float) -> Spec:
    """A dotted line over the whole height, behind the bars."""
    ink = {"color": "@ink", "width": 1, "dash": "dot"}
    place = {"x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper"}
    return {"layer": "below", "type": "line", **place, "line": ink}


def about_baseline(values: Sequence[Bar]) -> str:
    """What the line in a chart of bars is, if there is one."""
    return "" if _of_baseline(values) is None else "The dotted line is the baseline."


def _of_baseline(values: Sequence[Bar]) -> float | None:
    """The baseline's value, if others are to be held against it; none where they are of several machines."""
    found = [bar.value for bar in values if bar.series.recipe == BASELINE]
    machines = by_environment(bar.series.rows[0] for bar in values)
    return found[0] if found and len(machines) == 1 and len(values) > 1 else None


def interval(low: float | None, high: float | None) -> str:
    """An interval as text."""
    return "-" if low is None or high is None else f"{short(low)} to {short(high)}"


def _errors(values: Sequence[Bar]) -> Spec:
    return {
        "type": "data",
        "symmetric": False,
        "visible": any(bar.low is not None for bar in values),
        "array": [0 if bar.high is None else bar.high - bar.value for bar in values],
        "arrayminus": [0 if bar.low is None else bar.value - bar.low for bar in values],
        "color": "@ink",
        "thickness": 1.2,
    }
