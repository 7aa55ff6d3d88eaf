"""The roofline: operations a second over operations on each byte, under what arithmetic and memory allow.

Source: Williams et al., "Roofline: An Insightful Visual Performance Model for Multicore Architectures", 2009.
"""

from __future__ import annotations

from collections.abc import Sequence

from densebench.measure.ceilings import Ceilings, called, intensity, roof
from densebench.record import Row
from densebench.report.html.ceiling_chart import disturbed, of_one_machine
from densebench.report.html.chart import Chart, Figures, Spec, View, log_axis
from densebench.report.html.style import DASHES, Series, chart_text
from densebench.wording import short

ACROSS = "Operations on each byte that must move at least"
UP = "1e9 operations a second (GOP/s)"
Place = tuple[Row, float, float]  # a row, its operations on each byte, and what it reaches in GOP/s


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
            called(row.precision),
            f"{row.batch_size}",
            short(across),
            short(up),
            short(allowed := roof(across, row.precision, ceilings)),
            "memory" if allowed < ceilings.compute[row.precision].gop_per_s else "arithmetic",
            short(100 * up / allowed, 2),
        )
        for one, found in placed
        for row, across, up in found
    )
    headings = ("recipe", "precision", "batch", "operations/byte", "reached (GOP/s)", "roof there (GOP/s)")
    return Chart(
        "roofline",
        "Operations a second under the roof of arithmetic and memory",
        "A marker for each batch size, joined recipe by recipe. Left of its bend a roof is what memory can bring, "
        "right of it what large convolutions reach in that precision. Bytes are those that convolutions and linear "
        "layers must read and write at least, one layer after the other; a larger batch shares the weights, so it "
        "stands further right. A marker far below its roof loses time elsewhere: in small layers, in what isn't "
        "fused, in fresh memory." + disturbed(ceilings),
        (_view(placed, ceilings),),
        (Figures((*headings, "roof is of", "share of it (%)"), lines, 2, "Under the roof"), _roofs(ceilings)),
        legend=tuple(one for one, _ in placed),
    )


def _places(series: Series, ceilings: Ceilings) -> list[Place]:
    """Where the series' rows stand, those left out of which too little is known."""
    found = []
    for row in sorted(series.rows, key=lambda row: row.batch_size):
        across = intensity(row)
        if across is None or row.precision not in ceilings.compute or not row.throughput_samples_per_s:
            continue
        assert row.macs_g is not None, "or there would be no intensity"
        found.append((row, across, 2 * row.macs_g * row.throughput_samples_per_s))
    return found


def _view(placed: Sequence[tuple[Series, list[Place]]], ceilings: Ceilings) -> View:
    places = [place for _, found in placed for place in found]
    precisions = [name for name in ceilings.compute if any(row.precision == name for row, _, _ in places)]
    low = min(across for _, across, _ in places) / 2
    high = 2 * max(across for _, across, _ in places)
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
        "x": [across for _, across, _ in found],
        "y": [up for _, _, up in found],
        "line": {"color": series.colour, "width": 1},
        "marker": {"color": series.colour, "symbol": series.symbol, "size": 9},
        "legendgroup": series.label,
        "customdata": [
            f"<b>{series.label}</b> batch {row.batch_size}, {chart_text(called(row.precision))}"
            for row, _, _ in found
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
