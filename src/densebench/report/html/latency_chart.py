"""How the raw latencies of single inferences spread."""

from __future__ import annotations

from collections.abc import Sequence

from densebench.report.html.chart import Chart, Figures, Spec, View, axis, lanes, log_axis
from densebench.report.html.style import Series
from densebench.results.record import Row
from densebench.text import short

MOST_NUMBERS = 150_000  # raw samples in the page
MOST_DOTS = 3000  # drawn at once; beyond that only the outliers are
Timed = Sequence[tuple[Series, Row]]


def distributions(series: Sequence[Series]) -> Chart | None:
    """How the raw latencies of each recipe spread, batch size by batch size."""
    timed = [(one, row) for one in series for row in one.rows if row.all_samples_ms and row.streams == 1]
    if not timed:
        return None
    most = max(20, MOST_NUMBERS // len(timed))
    sizes = sorted({row.batch_size for _, row in timed})
    groups = [[(one, row) for one, row in timed if row.batch_size == size] for size in sizes]
    thinned = any(row.samples > most for _, row in timed)
    return Chart(
        "distributions",
        "Latency of the single inferences",
        "The box holds the middle half of the timed batches, its line is the median; dots are single batches, "
        "only the outlying ones where there are many."
        + (
            f" Where there are more than {most}, as many of them evenly by rank are drawn." if thinned else ""
        ),
        tuple(_boxes(rows, most) for rows in groups),
        (_spreads([pair for rows in groups for pair in rows]),),
    )


def _boxes(rows: Timed, most: int) -> View:
    """One batch size: a lane for each recipe, on a logarithmic axis where their medians are far apart."""
    dots = sum(min(row.samples, most) for _, row in rows) <= MOST_DOTS
    traces = tuple(_box(one, row, lane, most, dots=dots) for lane, (one, row) in enumerate(rows))
    medians = [sorted(row.all_samples_ms)[len(row.all_samples_ms) // 2] for _, row in rows]
    title = "Time of one batch (ms)"
    samples = [sample for _, row in rows for sample in row.all_samples_ms]
    far = max(medians) > 20 * min(medians)
    scale = log_axis(title, samples) if far else axis(title, rangemode="tozero")
    layout = {"xaxis": scale} | lanes([one for one, _ in rows])
    size = rows[0][1].batch_size
    return View(f"batch {size}", traces, layout, size)


def _box(series: Series, row: Row, lane: int, most: int, *, dots: bool) -> Spec:
    samples = sorted(row.all_samples_ms)
    if len(samples) > most:
        step = (len(samples) - 1) / (most - 1)
        samples = [samples[round(index * step)] for index in range(most)]
    return {
        "type": "box",
        "orientation": "h",
        "x": [float(f"{sample:.4g}") for sample in samples],
        "y0": lane,
        "width": 0.6,
        "boxpoints": "all" if dots else "outliers",
        "jitter": 0.5,
        "pointpos": 0,
        "line": {"color": series.colour, "width": 1.5},
        "marker": {"color": series.colour, "symbol": series.symbol, "size": 4, "opacity": 0.55},
        "name": series.label,
        "hoverinfo": "x",
    }


def _spreads(rows: Timed) -> Figures:
    percentiles = ("median", "90 %", "95 %", "99 %")
    headings = ("recipe", "batch", "inferences", "processes", "least", *percentiles, "most")
    lines = tuple(_spread(one, row) for one, row in rows)
    return Figures(headings, lines, 1, "ms; blank where there are too few inferences for the percentile")


def _spread(series: Series, row: Row) -> tuple[str, ...]:
    samples = row.all_samples_ms
    percentiles = (row.latency_p50_ms, row.latency_p90_ms, row.latency_p95_ms, row.latency_p99_ms)
    return (
        series.name,
        f"{row.batch_size}",
        f"{row.samples}",
        f"{row.processes}",
        short(min(samples)),
        *(short(value) for value in percentiles),
        short(max(samples)),
    )
