"""Throughput against accuracy, with the recipes that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densebench.report.html.chart import Chart, Figures, Spec, View, axis, interval
from densebench.report.html.names import Spot, sides
from densebench.report.html.style import Series, chart_text
from densebench.report.pareto import Point, front
from densebench.report.sweep import Sweep, throughput
from densebench.results.record import Row
from densebench.text import short

MOST_NAMES = 8  # beside their markers, where there is room; the others have their buttons
BEST = "each at its best batch size"


def pareto(sweep: Sweep, series: Sequence[Series]) -> Chart | None:
    """Throughput against top-1 with the front of those that no other beats in both."""
    placed = [one for part in sweep.parts for one in _placed(part) if one.points]
    if not placed:
        return None
    shown = [point.row for one in placed for point in one.points]
    known = any(row.throughput_ci_low is not None for row in sweep.timed)
    return Chart(
        name="pareto",
        title="Throughput against accuracy: what no other recipe beats in both",
        caption="Up and to the right is better. Large filled markers are on the front (dotted line), open ones "
        "may be: the figures are too close to say. Pale ones are beaten in both. Bars are 95 % intervals, that "
        "of top-1 after Wilson; since all recipes saw the same images, accuracies are told apart image by image "
        "(McNemar), which sees more than the bars do."
        + ("" if known else " No throughput has an interval here: within 3 % counts as close."),
        views=tuple(View(one.label, *_scatter(one.points, series), one.alone) for one in placed),
        figures=tuple(_figures(one.label, one.points) for one in placed if one.batch_size is None),
        legend=tuple(one for one in series if any(one.holds(row) for row in shown)),
        choice="rows",
    )


@dataclass(frozen=True)
class _Placed:
    """The points of one environment's recipes at a batch size; at each one's best where that is None."""

    environment: str
    batch_size: int | None
    points: Sequence[Point]

    @property
    def label(self) -> str:
        what = BEST if self.batch_size is None else f"batch {self.batch_size}"
        return f"{what} @ {self.environment}" if self.environment else what

    @property
    def alone(self) -> int | None:
        """The batch size, where no other environment has a view of it."""
        return None if self.environment else self.batch_size


def _placed(sweep: Sweep) -> list[_Placed]:
    """The points of each choice: recipes at their best, then batch size by batch size."""
    choices: dict[int | None, Sequence[Row]] = {None: sweep.best}
    if len(sweep.batch_sizes) > 1:
        choices |= {size: sweep.at(size) for size in sweep.batch_sizes}
    return [_Placed(sweep.environment, size, front(sweep, rows)) for size, rows in choices.items()]


def _figures(title: str, points: Sequence[Point]) -> Figures:
    lines = tuple(
        (
            point.row.recipe,
            f"{point.row.batch_size}",
            {"on": "yes", "off": "no", "uncertain": "uncertain"}[point.membership],
            point.rival,
            short(throughput(point.row)),
            interval(point.row.throughput_ci_low, point.row.throughput_ci_high),
            f"{point.accuracy:.2f}",
            "-" if point.low is None or point.high is None else f"{point.low:.2f} to {point.high:.2f}",
        )
        for point in _fastest(points)
    )
    headings = ("recipe", "batch", "on the front", "beaten by or too close to")
    units = ("images/s", "its 95 % interval", "top-1 (%)", "its 95 % interval")
    return Figures((*headings, *units), lines, 4, title)


def _fastest(points: Sequence[Point]) -> list[Point]:
    """Points by throughput, the highest first."""
    return sorted(points, key=lambda point: -throughput(point.row))


def _scatter(points: Sequence[Point], series: Sequence[Series]) -> tuple[tuple[Spec, ...], Spec]:
    line = sorted((point for point in points if point.by_estimate), key=lambda point: throughput(point.row))
    lowest = min(point.accuracy if point.low is None else point.low for point in points)
    points = sorted(points, key=lambda point: point.membership != "on")  # these choose first
    named = [point for point in points if point.membership != "off"][:MOST_NAMES]
    traces: list[Spec] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, *(throughput(point.row) for point in line), throughput(line[-1].row)],
            "y": [line[0].accuracy, *(point.accuracy for point in line), lowest],
            "line": {"color": "@muted", "width": 1.5, "dash": "dot", "shape": "vh"},
            "hoverinfo": "skip",
        },
    ]
    shown = [next(one for one in series if one.holds(point.row)) for point in points]
    highest = max(point.accuracy if point.high is None else point.high for point in points)
    most = max(point.row.throughput_ci_high or throughput(point.row) for point in points)
    spots = [
        Spot(
            throughput(point.row) / most,
            (point.accuracy - lowest) / (highest - lowest) if highest > lowest else 0.5,
            one.label if point in named else "",
        )
        for point, one in zip(points, shown, strict=True)
    ]
    for point, one, side in zip(points, shown, sides(spots), strict=True):
        marker = _marker(point, one)
        traces.append(marker | ({"mode": "markers+text", "textposition": side} if side else {}))
    layout: Spec = {
        "xaxis": axis("Throughput (images/s)", rangemode="tozero"),
        "yaxis": axis("Top-1 accuracy (%)"),
        "height": 460,
    }
    return tuple(traces), layout


def _marker(point: Point, series: Series) -> Spec:
    row = point.row
    said = {
        "on": "on the front",
        "off": f"beaten by {point.rival}",
        "uncertain": f"too close to {point.rival}",
    }
    half_x = {
        "array": [(row.throughput_ci_high or 0) - throughput(row)],
        "arrayminus": [throughput(row) - (row.throughput_ci_low or 0)],
        "visible": row.throughput_ci_low is not None and row.throughput_ci_high is not None,
    }
    half_y = {
        "array": [(point.high or 0) - point.accuracy],
        "arrayminus": [point.accuracy - (point.low or 0)],
        "visible": point.low is not None,
    }
    bar = {"type": "data", "symmetric": False, "color": series.colour, "thickness": 1, "width": 3}
    on = point.membership == "on"
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [throughput(row)],
        "y": [point.accuracy],
        "error_x": bar | half_x,
        "error_y": bar | half_y,
        "opacity": 0.45 if point.membership == "off" else 1,
        "marker": {
            "color": series.colour,
            "symbol": series.symbol + ("-open" if point.membership == "uncertain" else ""),
            "size": 15 if on else 11,
            "line": {"width": 2 if point.membership == "uncertain" else 0, "color": series.colour},
        },
        "legendgroup": series.label,
        "text": [f" {series.label} "],
        "customdata": [
            f"<b>{series.label}</b> batch {row.batch_size}<br>{chart_text(said[point.membership])}"
        ],
        "hovertemplate": "%{customdata}<br>%{x:.4~g} images/s, %{y:.2f} %<extra></extra>",
    }
