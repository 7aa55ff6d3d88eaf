"""A figure over the batch size: lines, or ranked bars where there is one batch size only."""

from __future__ import annotations

from collections.abc import Sequence

from densebench.record import BASELINE, COLUMNS
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
from densebench.wording import batches, short

COLUMN = {column.name: column for column in COLUMNS}
MOST_LINES = 12  # drawn at once; the others have a button each


def over_batch_size(
    series: Sequence[Series], column: str, title: str, unit: str, *, log: bool = False, caption: str = ""
) -> Chart | None:
    """A figure over the batch size as lines, or as ranked bars where there is one batch size only."""
    drawn = [(one, _known(one, column)) for one in series]
    drawn = [(one, values) for one, values in drawn if values]
    sizes = sorted({size for _, values in drawn for size in values})
    if not drawn:
        return None
    lower = COLUMN[column].better == "lower"
    if len(sizes) == 1:
        ranked = sorted(drawn, key=lambda pair: pair[1][sizes[0]][0] * (1 if lower else -1))
        columns = [
            Bar(one, value, short(value), low, high)
            for one, values in ranked
            for value, low, high in [values[sizes[0]]]
        ]
        return Chart(
            column,
            f"{title} at {batches(sizes)}",
            f"{caption} {about_baseline(columns)}".strip(),
            (bars(columns, unit),),
            (_lines(drawn, sizes, unit),),
        )
    traces = tuple(_line(one, values) for one, values in drawn)
    figures = [value for _, values in drawn for value, _, _ in values.values()]
    horizontal = axis(
        "Batch size (images)", type="log", tickvals=sizes, ticktext=[str(size) for size in sizes]
    )
    vertical = log_axis(unit, figures) if log else axis(unit, rangemode="tozero")
    kept = _first_lines(drawn, lower=lower)
    more = (
        f"The {MOST_LINES} best and the baseline are drawn; the buttons show the others."
        if len(kept) < len(drawn)
        else ""
    )
    return Chart(
        column,
        f"{title} over the batch size",
        f"{caption} {more}".strip(),
        (View("", traces, {"xaxis": horizontal, "yaxis": vertical, "height": 440}),),
        (_lines(drawn, sizes, unit),),
        legend=tuple(one for one, _ in drawn),
        hidden=frozenset(one.name for one, _ in drawn if one.name not in kept),
    )


Known = dict[int, tuple[float, float | None, float | None]]  # by batch size: value, interval


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


def _first_lines(drawn: Sequence[tuple[Series, Known]], *, lower: bool) -> set[str]:
    def best(values: Known) -> float:
        figures = [value for value, _, _ in values.values()]
        return min(figures) if lower else -max(figures)

    ranked = sorted((pair for pair in drawn if pair[0].recipe != BASELINE), key=lambda pair: best(pair[1]))
    base = {one.name for one, _ in drawn if one.recipe == BASELINE}
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


def _lines(drawn: Sequence[tuple[Series, Known]], sizes: Sequence[int], unit: str) -> Figures:
    def text(values: Known, size: int) -> str:
        if size not in values:
            return "-"
        value, low, high = values[size]
        return short(value) + (f" ({interval(low, high)})" if low is not None else "")

    lines = tuple((one.name, *(text(values, size) for size in sizes)) for one, values in drawn)
    return Figures(("recipe", *(f"batch {size}" for size in sizes)), lines, 1, unit)
