"""A chart of the report as a PNG, for places that can't run its page: the same traces, drawn by Matplotlib.

Plotly's own export of images needs a browser.
"""

from __future__ import annotations

import html
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from densebench.report.html.chart import Chart, Spec, View
from densebench.report.html.style import painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 1000  # pixels
_DPI = 100
_POINTS = 72 / _DPI  # in a pixel
MARKERS = {  # Plotly's names in Matplotlib's words
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "pentagon": "p",
    "star-square": "*",
    "hourglass": "X",
    "line-ns": "|",
}
LINES: Mapping[str, str | tuple[int, tuple[int, ...]]] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 2, 3)),
}
_STEPS = {"vh": "steps-pre", "hv": "steps-post"}


class Picture(NamedTuple):
    """A PNG with its size in pixels."""

    png: bytes
    width: int
    height: int


def picture(chart: Chart, view: View) -> Picture:
    """One view of a chart, with the light theme's colours and a legend where series have no name beside them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    traces = painted(view.traces, "light")
    layout = painted(view.layout, "light")
    height = int(layout.get("height", 380)) + 60  # for the title
    # names come from the data: no mathematics in them, and a sign that the font lacks is a box
    with mpl.rc_context({"text.parse_math": False, "font.size": 9}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(WIDTH / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        figure.suptitle("\n".join(textwrap.wrap(_title(chart, view), 100)), x=0.01, ha="left")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        _draw(axes, traces, {one.label for one in chart.legend if one.name in chart.hidden})
        for shape in layout.get("shapes", ()):
            axes.axvline(shape["x0"], color=shape["line"]["color"], linewidth=1, linestyle=":", zorder=0)
        for note in layout.get("annotations", ()):
            _annotate(axes, note)
        _set_axis(axes, "x", layout.get("xaxis", {}))
        _set_axis(axes, "y", layout.get("yaxis", {}))
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right upper", frameon=False)
        out = BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return Picture(out.getvalue(), WIDTH, height)


def _title(chart: Chart, view: View) -> str:
    return f"{chart.title}, {view.label}" if view.label else chart.title


def _draw(axes: Axes, traces: Sequence[Spec], hidden: set[str]) -> None:
    reach: dict[float, float] = {}  # how far the bars of a lane go so far: they are stacked
    named: set[str] = set()
    for trace in traces:
        group = trace.get("legendgroup", "")
        if group in hidden:
            continue
        label = trace.get("name", "") if trace.get("showlegend") else "" if group in named else group
        named.add(group)
        match trace["type"]:
            case "scatter":
                _scatter(axes, trace, _plain(label) or None)
            case "bar":
                _bars(axes, trace, _plain(label) or None, reach)
            case "box":
                _box(axes, trace)


def _scatter(axes: Axes, trace: Spec, label: str | None) -> None:
    marker, line = trace.get("marker", {}), trace.get("line", {})
    colour = marker.get("color") or line.get("color")
    symbol = marker.get("symbol", "")
    axes.errorbar(
        trace["x"],
        trace["y"],
        xerr=_errors(trace.get("error_x")),
        yerr=_errors(trace.get("error_y")),
        label=label,
        color=colour,
        alpha=trace.get("opacity", 1),
        marker=MARKERS.get(symbol.removesuffix("-open"), "") if "markers" in trace["mode"] else "",
        markersize=marker.get("size", 8) * _POINTS,
        markeredgewidth=marker.get("line", {}).get("width") or 1,
        markerfacecolor="none" if symbol.endswith("-open") else colour,
        linestyle=LINES[line.get("dash", "solid")] if "lines" in trace["mode"] else "",
        linewidth=line.get("width", 1),
        drawstyle=_STEPS.get(line.get("shape", ""), "default"),
        elinewidth=1,
    )
    if "text" in trace["mode"]:
        _texts(axes, trace, trace.get("textfont", {}).get("color", colour))


def _texts(axes: Axes, trace: Spec, colour: str | None) -> None:
    """A trace's words beside its points. Plotly's `top left` puts them above and to the left of a point."""
    vertical, _, horizontal = trace.get("textposition", "middle center").partition(" ")
    up = {"top": 1, "bottom": -1}.get(vertical, 0)
    side = {"left": -1, "right": 1}.get(horizontal, 0)
    for x, y, text in zip(trace["x"], trace["y"], trace["text"], strict=True):
        axes.annotate(
            _plain(text),
            (x, y),
            xytext=(3 * side, 3 * up),
            textcoords="offset points",
            color=colour,
            ha={-1: "right", 0: "center", 1: "left"}[side],
            va={-1: "top", 0: "center", 1: "bottom"}[up],
        )


def _bars(axes: Axes, trace: Spec, label: str | None, reach: dict[float, float]) -> None:
    marker = trace["marker"]
    left = [reach.get(place, 0.0) for place in trace["y"]]
    drawn = axes.barh(
        trace["y"],
        trace["x"],
        height=trace["width"],
        left=left,
        label=label,
        color=marker["color"],
        edgecolor=marker.get("line", {}).get("color"),
        linewidth=marker.get("line", {}).get("width", 0),
        hatch=2 * marker.get("pattern", {}).get("shape", ""),
        xerr=_errors(trace.get("error_x")),
        ecolor=trace.get("error_x", {}).get("color"),
    )
    for place, start, length in zip(trace["y"], left, trace["x"], strict=True):
        reach[place] = start + length
    if "text" in trace:
        axes.bar_label(drawn, [_plain(text) for text in trace["text"]], padding=3)


def _box(axes: Axes, trace: Spec) -> None:
    colour = trace["line"]["color"]
    axes.boxplot(
        [trace["x"]],
        positions=[trace["y0"]],
        widths=trace["width"],
        orientation="horizontal",
        manage_ticks=False,
        medianprops={"color": colour},
        boxprops={"color": colour},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": colour},
    )


def _annotate(axes: Axes, note: Spec) -> None:
    """A word above the chart, at a value of the horizontal axis."""
    axes.annotate(
        _plain(note["text"]),
        (note["x"], note["y"]),
        xycoords=("data", "axes fraction"),
        xytext=(0, note.get("yshift", 0) * _POINTS),
        textcoords="offset points",
        ha="center",
        va="bottom",
    )


def _set_axis(axes: Axes, which: str, spec: Spec) -> None:
    if title := spec.get("title", {}).get("text"):
        axes.set(**{f"{which}label": title})
    if spec.get("type") == "log":
        axes.set(**{f"{which}scale": "log"})
        (axes.xaxis if which == "x" else axes.yaxis).minorticks_off()
    if "tickvals" in spec:
        ticks = axes.set_xticks if which == "x" else axes.set_yticks
        ticks(spec["tickvals"], [_plain(text) for text in spec["ticktext"]])
    limits = axes.set_xlim if which == "x" else axes.set_ylim
    if "range" in spec:
        limits(*spec["range"])
    elif spec.get("rangemode") == "tozero":
        limits(0)
    if spec.get("showgrid", True):
        axes.grid(axis="x" if which == "x" else "y", color="#D8DEE4", linewidth=0.6)
        axes.set_axisbelow(True)


def _errors(spec: Spec | None) -> list[list[float]] | None:
    """Lower and upper lengths, never negative: the value may lie outside a bootstrapped interval."""
    if not spec or not spec["visible"]:
        return None
    return [[max(0.0, length) for length in spec[key]] for key in ("arrayminus", "array")]


def _plain(text: str) -> str:
    """A chart's text, which is escaped and broken for Plotly."""
    return html.unescape(text.replace("<br>", "\n"))
