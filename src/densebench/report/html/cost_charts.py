"""Charts of what a recipe costs: memory, bytes, the time to build it and the images that pay for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from densebench.report.html.chart import Bar, Chart, Figures, View, about_baseline, bars
from densebench.report.html.style import Series
from densebench.results.record import Row
from densebench.text import duration, short


def memory(series: Sequence[Series]) -> list[Chart]:
    """Peak memory of a program of its own, and of the measuring process, its host and its GPU, by batch size."""
    own = _once(
        series, "deploy_memory_mb", "Peak memory of a program of its own", "Peak resident memory (MB)", _whole
    )
    host = _by_batch_size(
        series,
        "host_memory_peak_mb",
        "Peak memory of the measuring process",
        "Peak resident memory (MB)",
        "The grey part is the loaded framework, before the model.",
        of_which=lambda row: row.host_memory_floor_mb or 0.0,
    )
    gpu = _by_batch_size(
        series,
        "vram_driver_peak_mb",
        "Peak GPU memory",
        "Peak GPU memory (MB)",
        "As the driver saw it: weights, workspaces and libraries of any engine.",
    )
    return [chart for chart in (own, host, gpu) if chart]


def size(series: Sequence[Series]) -> Chart | None:
    """Bytes that a deployer ships."""
    return _once(series, "model_size_mb", "Size of the saved model", "Size on disk (MB)", short)


def build_time(series: Sequence[Series]) -> Chart | None:
    """Seconds to make the artifact."""
    return _once(series, "build_s", "Time to build the artifact", "Build time (s)", duration)


def start(series: Sequence[Series]) -> Chart | None:
    """Seconds from the start of a program to its first answer."""
    title = "Start of a program of its own, to the first answer"
    return _once(series, "deploy_start_s", title, "Start (s)", duration)


def break_even(series: Sequence[Series]) -> Chart | None:
    """Images after which a longer build has paid for itself."""
    return _by_batch_size(
        series,
        "break_even_images",
        "Images until the build has paid for itself",
        "Images",
        "The build's time beyond the baseline's, over the time that each image saves. Recipes that save none are "
        "left out.",
        log=True,
    )


def _by_batch_size(
    series: Sequence[Series],
    column: str,
    title: str,
    unit: str,
    caption: str,
    *,
    of_which: Callable[[Row], float] = lambda _: 0.0,
    log: bool = False,
) -> Chart | None:
    cells = [(one, row) for one in series for row in one.rows if getattr(row, column) is not None]
    views, lines = [], []
    for size_ in sorted({row.batch_size for _, row in cells}):
        here = [(one, row) for one, row in cells if row.batch_size == size_]
        values = [
            Bar(one, float(value), _whole(value), of_which=min(of_which(row), value))
            for one, row in here
            for value in [getattr(row, column)]
        ]
        view = bars(values, unit, log=log)
        views.append(View(f"batch {size_}", view.traces, view.layout, size_))
        lines += [(bar.series.name, f"{size_}", bar.text) for bar in values]
    if not views:
        return None
    return Chart(column, title, caption, tuple(views), (Figures(("recipe", "batch", unit), tuple(lines)),))


def _once(
    series: Sequence[Series], column: str, title: str, unit: str, form: Callable[[float], str]
) -> Chart | None:
    """A figure that a recipe has once, whatever the batch size."""
    values = []
    for one in series:
        known = [row for row in one.rows if getattr(row, column) is not None]
        if known:
            value = float(getattr(min(known, key=lambda row: row.batch_size), column))
            values.append(Bar(one, value, form(value)))
    if not values:
        return None
    lines = tuple((bar.series.name, short(bar.value)) for bar in values)
    view = bars(values, unit)
    return Chart(column, title, about_baseline(values), (view,), (Figures(("recipe", unit), lines),))


def _whole(value: float) -> str:
    return f"{value:,.0f}"
