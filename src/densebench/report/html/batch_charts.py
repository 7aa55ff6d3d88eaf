"""A figure over the batch size: lines, or ranked bars where there is one batch size only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densebench.report.html.chart import (
    Bar,
    Chart,
    Figures,
    Spec,
    View,
    about_baseline,
    axis,
    bars,
    interval,
    log_axis,
)
from densebench.report.html.style import Series
from densebench.results.columns import COLUMNS
from densebench.spec import BASELINE
from densebench.text import batches, short

COLUMN = {column.name: column for column in COLUMNS}
MOST_LINES = 12  # drawn at once; the others have a button each
Known = dict[int, tuple[float, float | None, float | None]]  # by batch size: value, interval


@dataclass(frozen=True)
class _Drawn:
    """One column of the rows, as far as it is known: what a chart of it is made from."""

    column: str
    title: str
    unit: str
    caption: str
    series: tuple[tuple[Series, Known], ...]

    @property
    def sizes(self) -> list[int]:
        return sorted({size for _, values in self.series for size in values})

    @property
    def lower_is_better(self) -> bool:
        return COLUMN[self.column].better == "lower"


def over_batch_size(
    series: Sequence[Series], column: str, title: str, unit: str, *, log: bool = False, caption: str = ""
) -> Chart | None:
    """A figure over the batch size as lines, or as ranked bars where there is one batch size only."""
    found = tuple((one, values) for one in series if (values := _known(one, column)))
    if not found:
        return None
    drawn = _Drawn(column, title, unit, caption, found)
    return _ranked(drawn) if len(drawn.sizes) == 1 else _over_sizes(drawn, log=log)


def _ranked(drawn: _Drawn) -> Chart:
    """Bars, the best one first."""
    (size,) = drawn.sizes
    sign = 1 if drawn.lower_is_better else -1
    ranked = sorted(drawn.series, key=lambda pair: sign * pair[1][size][0])
    columns = [
        Bar(one, value, short(value), low, high)
        for one, values in ranked
        for value, low, high in [values[size]]
    ]
    return Chart(
        drawn.column,
        f"{drawn.title} at {batches([size])}",
        f"{drawn.caption} {about_baseline(columns)}".strip(),
        (bars(columns, drawn.unit),),
        (_lines(drawn),),
    )


def _over_sizes(drawn: _Drawn, *, log: bool) -> Chart:
    """A line for each recipe; where there are many, only the best ones at first."""
    sizes = drawn.sizes
    figures = [value for _, values in drawn.series for value, _, _ in values.values()]
    horizontal = axis(
        "Batch size (images)", type="log", tickvals=sizes, ticktext=[str(size) for size in sizes]
    )
    vertical = log_axis(drawn.unit, figures) if log else axis(drawn.unit, rangemode="tozero")
    traces = tuple(_line(one, values) for one, values in drawn.series)
    kept = _first_lines(drawn)
    more = (
        f"The {MOST_LINES} best and the baseline are drawn; the buttons show the others."
        if len(kept) < len(drawn.series)
        else ""
    )
    return Chart(
        drawn.column,
        f"{drawn.title} over the batch size",
        f"{drawn.caption} {more}".strip(),
        (View("", traces, {"xaxis": horizontal, "yaxis": vertical, "height": 440}),),
        (_lines(drawn),),
        legend=tuple(one for one, _ in drawn.series),
        hidden=frozenset(one.name for one, _ in drawn.series if one.name not in kept),
    )


def _known(series: Series, column: str) -> Known:
    throughputs = column == "throughput_samples_per_s"
    return {
        row.batch_size: (
            float(value),
            row.throughput_ci_low if throughputs else None,
            row.throughput_ci_high if throughputs else None,
        )
        for row in sorted(series.rows, key=lambda row: row.batch_size)
        if (value := getattr(row, column)) is not None
    }


def _first_lines(drawn: _Drawn) -> set[str]:
    def best(values: Known) -> float:
        figures = [value for value, _, _ in values.values()]
        return min(figures) if drawn.lower_is_better else -max(figures)

    others = (pair for pair in drawn.series if pair[0].recipe != BASELINE)
    ranked = sorted(others, key=lambda pair: best(pair[1]))
    base = {one.name for one, _ in drawn.series if one.recipe == BASELINE}
    return {one.name for one, _ in ranked[:MOST_LINES]} | base


def _line(series: Series, values: Known) -> Spec:
    figures = list(values.values())
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(values),
        "y": [value for value, _, _ in figures],
        "line": {"color": series.colour, "width": 2, "dash": series.dash},
        "marker": {"color": series.colour, "symbol": series.symbol, "size": 8},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "visible": any(low is not None for _, low, _ in figures),
            "array": [0 if high is None else high - value for value, _, high in figures],
            "arrayminus": [0 if low is None else value - low for value, low, _ in figures],
            "color": series.colour,
            "thickness": 1,
        },
        "legendgroup": series.label,
        "customdata": [series.label] * len(figures),
        "hovertemplate": "<b>%{customdata}</b> batch %{x}: %{y:.4~g}<extra></extra>",
    }


def _lines(drawn: _Drawn) -> Figures:
    def text(values: Known, size: int) -> str:
        if size not in values:
            return "-"
        value, low, high = values[size]
        return short(value) + (f" ({interval(low, high)})" if low is not None else "")

    sizes = drawn.sizes
    lines = tuple((one.name, *(text(values, size) for size in sizes)) for one, values in drawn.series)
    return Figures(("recipe", *(f"batch {size}" for size in sizes)), lines, 1, drawn.unit)
