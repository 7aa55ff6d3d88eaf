"""The roofline: operations a second over operations on each byte, under what arithmetic and memory allow.

Source: Williams et al., "Roofline: An Insightful Visual Performance Model for Multicore Architectures", 2009.
"""

from __future__ import annotations

from collections.abc import Sequence

from densebench.report.html.ceiling_chart import of_one_machine
from densebench.report.html.chart import Chart, Figures, Spec, View, log_axis
from densebench.report.html.style import DASHES, Series, chart_text
from densebench.report.roofline import roof
from densebench.report.roofs import Place, place, too_low
from densebench.results.ceilings import Ceilings, called
from densebench.text import short

ACROSS = "Operations on each byte that must move at least"
UP = "1e9 operations a second (GOP/s)"


def roofline(series: Sequence[Series], ceilings: Ceilings | None) -> Chart | None:
    """Each recipe's batch sizes as markers under the roof of their precision; None without ceilings or counts."""
    if ceilings is None or not of_one_machine(series):
        return None
    placed = [(one, found) for one in series if (found := _places(one, ceilings))]
    if not placed:
        return None
    lines = tuple(
        (
            one.name,
            called(at.row.precision),
            f"{at.row.batch_size}",
            short(at.across),
            short(at.reached),
            short(at.allowed),
            at.kind,
            short(100 * at.share, 2),
        )
        for one, found in placed
        for at in found
    )
    headings = ("recipe", "precision", "batch", "operations/byte", "reached (GOP/s)", "roof there (GOP/s)")
    return Chart(
        "roofline",
        "Operations a second under the roof of arithmetic and memory",
        "A marker for each batch size, joined recipe by recipe. Left of its bend a roof is what memory can bring, "
        "right of it what large convolutions reach in that precision. Bytes are those that convolutions and linear "
        "layers must read and write at least, one layer after the other; a larger batch shares the weights, so it "
        "stands further right. A marker far below its roof loses time elsewhere: in small layers, in what isn't "
        "fused, in fresh memory. One may stand above its roof: caches spare memory, and some algorithms spare "
        "multiplications." + too_low(ceilings),
        (_view(placed, ceilings),),
        (Figures((*headings, "roof is of", "share of it (%)"), lines, 2, "Under the roof"), _roofs(ceilings)),
        legend=tuple(one for one, _ in placed),
    )


def _places(series: Series, ceilings: Ceilings) -> list[Place]:
    """Where the series' rows stand, those left out of which too little is known."""
    found = (place(row, ceilings) for row in sorted(series.rows, key=lambda row: row.batch_size))
    return [at for at in found if at is not None]


def _view(placed: Sequence[tuple[Series, list[Place]]], ceilings: Ceilings) -> View:
    places = [at for _, found in placed for at in found]
    precisions = [name for name in ceilings.compute if any(at.row.precision == name for at in places)]
    low = min(at.across for at in places) / 2
    high = 2 * max(at.across for at in places)
    traces: list[Spec] = []
    for number, name in enumerate(precisions):
        bend = ceilings.compute[name].gop_per_s / ceilings.memory_gb_per_s
        ends = sorted({low, min(max(bend, low), high), high})
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+text",
                "x": ends,
                "y": [roof(end, name, ceilings) for end in ends],
                "line": {"color": "@muted", "width": 1.5, "dash": DASHES[number % len(DASHES)]},
                "text": ["", *[""] * (len(ends) - 2), called(name)],
                "textposition": "top left",
                "name": f"{called(name)} roof",
                "showlegend": True,
                "hoverinfo": "skip",
            }
        )
    traces += [_marks(one, found) for one, found in placed]
    across = [end for trace in traces for end in trace["x"]]
    up = [end for trace in traces for end in trace["y"]]
    return View(
        "", tuple(traces), {"xaxis": log_axis(ACROSS, across), "yaxis": log_axis(UP, up), "height": 460}
    )


def _marks(series: Series, found: Sequence[Place]) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [at.across for at in found],
        "y": [at.reached for at in found],
        "line": {"color": series.colour, "width": 1},
        "marker": {"color": series.colour, "symbol": series.symbol, "size": 9},
        "legendgroup": series.label,
        "customdata": [
            f"<b>{series.label}</b> batch {at.row.batch_size}, {chart_text(called(at.row.precision))}"
            for at in found
        ],
        "hovertemplate": "%{customdata}<br>%{y:.3~g} GOP/s at %{x:.3~g} operations/byte<extra></extra>",
    }


def _roofs(ceilings: Ceilings) -> Figures:
    lines = tuple(
        (called(precision), one.engine, short(one.gop_per_s), short(one.gop_per_s / ceilings.memory_gb_per_s))
        for precision, one in ceilings.compute.items()
    )
    title = (
        f"Roofs of this machine with {ceilings.threads} threads; memory is copied at "
        f"{short(ceilings.memory_gb_per_s)} GB/s, read and written together. The roof bends where a recipe does as "
        "many operations on each byte as the last column says"
    )
    headings = ("precision", "fastest engine", "ceiling (GOP/s)", "bend (operations/byte)")
    return Figures(headings, lines, 2, title)
