"""Where the time goes, recipe beside recipe, from the profiler's traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from densebench.report.html.chart import Chart, Figures, Spec, View, axis, lanes
from densebench.report.html.style import Series
from densebench.report.operators import KINDS, Operators, read_operators
from densebench.results.record import Row
from densebench.text import one_line, short

PATTERNS = ("", "/", "x", ".", "")  # beside the shade, for those who can't tell greys apart
MOST_OPERATORS = 20
Profiled = list[tuple[Series, Row, Operators]]


def profiled(series: Sequence[Series], batch_size: int, folders: Sequence[Path]) -> Profiled:
    """The traces of one batch size, read from the first of the folders that holds them."""
    found: Profiled = []
    for one in series:
        for row in one.rows:
            if row.batch_size != batch_size:
                continue
            paths = (_inside(folder, trace) for trace in row.traces for folder in folders)
            read = next((seen for path in paths if path and (seen := read_operators(path))), None)
            if read is not None:
                found.append((one, row, read))
    return found


def _inside(folder: Path, name: str) -> Path | None:
    """A file of the log folder, and never one outside it: the name comes from the data."""
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def operators(found: Profiled, batch_size: int) -> Chart:
    """Self time by kind of operator, one bar per recipe; and the operators themselves in a table."""
    shown = [one for one, _, _ in found]
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
    layout = {
        "xaxis": axis(f"Self time of one batch of {batch_size} (ms)"),
        "barmode": "stack",
        "showlegend": True,
        "legend": legend,
        "margin": {"t": 60},
    } | lanes(shown)
    cut = [one.name for one, _, read in found if not read.whole]
    return Chart(
        "operators",
        f"Self time by kind of operator at batch {batch_size}",
        "Time inside the operators themselves, from a profiled pass of its own, which is slower than the timed "
        "one. What an operator allocates or views counts for it; copies are changes of layout and precision too; "
        "time between operators, and code that a compiler or a frozen graph runs in one piece without naming its "
        "operators, is other." + (f" Cut short, so incomplete: {', '.join(cut)}." if cut else ""),
        (View("", tuple(_bars(found, index, kind) for index, kind in enumerate(KINDS.values())), layout),),
        (_kinds(found), _by_name(found)),
    )


def _bars(found: Profiled, index: int, kind: str) -> Spec:
    """One kind of operator: its part of each recipe's bar, told apart by shade and pattern."""
    shade = f"@kind{index}"
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(found))),
        "x": [read.by_kind[kind] for _, _, read in found],
        "name": kind,
        "width": 0.7,
        "marker": {
            "color": shade,
            "line": {"color": "@muted", "width": 0.7},
            "pattern": {"shape": PATTERNS[index], "fgcolor": "@ink", "bgcolor": shade, "size": 6},
        },
        "customdata": [one.label for one, _, _ in found],
        "hovertemplate": "%{customdata}: " + kind + " %{x:.3~g} ms<extra></extra>",
        "showlegend": True,
    }


def _kinds(found: Profiled) -> Figures:
    def line(one: Series, read: Operators) -> tuple[str, ...]:
        total = sum(read.by_kind.values()) or 1.0
        shares = (
            f"{short(read.by_kind[kind])} ({100 * read.by_kind[kind] / total:.0f} %)"
            for kind in KINDS.values()
        )
        return (one.name, *shares, short(total))

    lines = tuple(line(one, read) for one, _, read in found)
    return Figures(
        ("recipe", *KINDS.values(), "all"), lines, 1, "Self time in ms of one batch, and its share"
    )


def _by_name(found: Profiled) -> Figures:
    """The operators that take longest anywhere, side by side."""
    most: dict[str, float] = defaultdict(float)
    for _, _, read in found:
        for name, milliseconds in read.by_operator.items():
            most[name] = max(most[name], milliseconds)
    lines = tuple(
        (one_line(name, 80), *(short(read.by_operator.get(name)) or "-" for _, _, read in found))
        for name in sorted(most, key=lambda name: -most[name])[:MOST_OPERATORS]
    )
    title = f"Operators: self time in ms of one batch, the {len(lines)} longest"
    return Figures(("operator", *(one.name for one, _, _ in found)), lines, 1, title)
