"""Operations a second against what this machine reaches in the same precision: a bar for each recipe."""

from __future__ import annotations

from collections.abc import Sequence

from densebench.report.html.chart import Bar, Chart, Figures, Spec, View, axis, bars
from densebench.report.html.style import Series, chart_text
from densebench.report.roofs import of_ceilings, too_low
from densebench.results.ceilings import Ceiling, Ceilings, called
from densebench.results.record import Row
from densebench.text import short

UNIT = "1e9 operations a second (GOP/s)"
Cell = tuple[Series, Row, float, Ceiling]  # with what the row reaches, GOP/s


def ceiling_bars(series: Sequence[Series], ceilings: Ceilings | None) -> Chart | None:
    """One bar per recipe, marked at its own precision's ceiling; None without ceilings or shares of them."""
    if ceilings is None or not of_one_machine(series):
        return None
    cells = [cell for one in series for row in one.rows if (cell := _cell(one, row, ceilings))]
    if not cells:
        return None
    sizes = sorted({row.batch_size for _, row, _, _ in cells})
    views = tuple(_view(size, [cell for cell in cells if cell[1].batch_size == size]) for size in sizes)
    lines = tuple(
        (
            one.name,
            called(row.precision),
            f"{row.batch_size}",
            short(reached),
            short(ceiling.gop_per_s),
            _percent(row),
        )
        for one, row, reached, ceiling in cells
    )
    headings = ("recipe", "precision", "batch", "reached (GOP/s)", "ceiling (GOP/s)", "share (%)")
    return Chart(
        "ceilings",
        "Operations a second, and the ceiling of each recipe's own precision",
        "Multiplications and additions of convolutions, linear layers and attention, in the precision that most "
        "of them run in. The upright mark is the most that large convolutions, or a row, reached here in that "
        "precision. What is missing went into small layers, into moving data, and into all that is no multiplication."
        + too_low(ceilings),
        views,
        (Figures(headings, lines, 2, "Share of the ceiling"),),
    )


def of_one_machine(series: Sequence[Series]) -> bool:
    """Whether all rows are: a header's ceilings are of one."""
    return len({row.environment_id for one in series for row in one.rows}) <= 1


def _cell(one: Series, row: Row, ceilings: Ceilings) -> Cell | None:
    ceiling = ceilings.compute.get(row.precision)
    if ceiling is None or not row.roofline_fraction or not of_ceilings(row, ceilings):
        return None
    if not row.macs_g or not row.throughput_samples_per_s:
        return None
    return one, row, 2 * row.macs_g * row.throughput_samples_per_s, ceiling


def _view(size: int, cells: Sequence[Cell]) -> View:
    values = [Bar(one, reached, f"{_percent(row)} %") for one, row, reached, _ in cells]
    view = bars(values, UNIT)
    marks: Spec = {
        "type": "scatter",
        "mode": "markers",
        "x": [ceiling.gop_per_s for _, _, _, ceiling in cells],
        "y": list(range(len(cells))),
        "marker": {"symbol": "line-ns-open", "size": 20, "color": "@ink", "line": {"width": 3}},
        "customdata": [
            f"{called(row.precision)} ceiling: {short(ceiling.gop_per_s)} GOP/s in {chart_text(ceiling.engine)}"
            for _, row, _, ceiling in cells
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }
    ceilings = dict(
        sorted({row.precision: c.gop_per_s for _, row, _, c in cells}.items(), key=lambda pair: pair[1])
    )
    reach = max(*ceilings.values(), *(reached for _, _, reached, _ in cells))
    more = {
        "xaxis": axis(UNIT, range=[0, 1.15 * reach]),
        "shapes": [_upright(value) for value in ceilings.values()],
        "annotations": [
            _named(precision, value, place) for place, (precision, value) in enumerate(ceilings.items())
        ],
        "margin": {"t": 24 + 16 * len(ceilings)},
    }
    height = view.layout["height"] + 16 * len(ceilings)
    layout = view.layout | more | {"height": height}
    return View(f"batch {size}", (*view.traces, marks), layout, size)


def _upright(value: float) -> Spec:
    line = {"color": "@muted", "width": 1, "dash": "dot"}
    ends = {"x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper"}
    return {"layer": "below", "type": "line", "line": line, **ends}


def _named(precision: str, value: float, place: int) -> Spec:
    """A ceiling's name above its line, each a little higher, so that close ones don't overlap."""
    return {
        "text": f"{called(precision)} {short(value)}",
        "x": value,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 16 * place,
        "showarrow": False,
    }


def _percent(row: Row) -> str:
    return short(100 * (row.roofline_fraction or 0.0), 2)
