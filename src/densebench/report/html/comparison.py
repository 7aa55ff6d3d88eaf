"""The comparison table: every row of the run, what it measured, or why it did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densebench.report.html.chart import interval
from densebench.report.html.style import Series
from densebench.report.sweep import change
from densebench.results.columns import COLUMNS, Column
from densebench.results.observation import Status
from densebench.results.problems import STATUS_WORDS
from densebench.results.record import Row
from densebench.text import one_line, short, times

SHOWN = {  # column -> its heading; those that no row has are left out
    "throughput_samples_per_s": "throughput",
    "speedup": "speed-up",
    "latency_p50_ms": "median latency",
    "latency_p99_ms": "p99 latency",
    "accuracy_top1": "top-1",
    "accuracy_drop_pp": "top-1 lost",
    "top1_agreement": "same guess",
    "model_size_mb": "size",
    "host_memory_peak_mb": "memory while measured",
    "vram_driver_peak_mb": "peak GPU memory",
    "build_s": "build",
    "load_s": "load",
    "first_inference_s": "first inference",
    "deploy_start_s": "own start",
    "deploy_memory_mb": "own memory",
    "break_even_images": "break-even",
    "roofline_fraction": "of the ceiling",
    "energy_j_per_image": "energy",
}
MARKS = {"faster": "▲", "slower": "▼", "same": "=", "unclear": "?"}
_UNITS = {"percentage points": "points", "x": ""}
_PERCENT = {"top1_agreement", "roofline_fraction"}  # shares, shown as percent


@dataclass(frozen=True)
class Heading:
    """A column's heading, its unit, and what it means. Numbers are sorted as such, the best first."""

    text: str
    unit: str
    about: str
    number: bool = True
    lower: bool = False


@dataclass(frozen=True)
class Cell:
    """A figure: as printed, to sort by, and how far it reaches as a bar with its interval (percent of the width)."""

    text: str
    value: float | None = None
    bar: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One row of the table; `reason` stands in place of the cells where the row did not run."""

    series: Series
    batch_size: int
    status: str
    word: str
    reason: str
    cells: tuple[Cell, ...]
    effect: str
    chosen: bool


@dataclass(frozen=True)
class Table:
    """The comparison: headings and lines, the batch sizes to filter by, and what to say about intervals."""

    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    sizes: tuple[int, ...]
    intervals: bool  # whether any row has one
    note: str


def comparison(rows: Sequence[Row], series: Sequence[Series], chosen: Row | None) -> Table:
    """All rows in their order; `chosen` is the recommended one."""
    ran = [row for row in rows if row.status is Status.OK]
    columns = [column for column in COLUMNS if any(getattr(row, column.name) is not None for row in ran)]
    shown = [column for name in SHOWN for column in columns if column.name == name]
    ends = (row.throughput_ci_high or row.throughput_samples_per_s or 0.0 for row in ran)
    widest = max(ends, default=0.0) or 1.0
    lines = tuple(
        Line(
            series=next(one for one in series if one.holds(row)),
            batch_size=row.batch_size,
            status=row.status.value,
            word=STATUS_WORDS[row.status],
            reason=one_line(row.reason, 2000) or ("" if row.status is Status.OK else "no reason given"),
            cells=tuple(_cell(row, column, widest) for column in shown),
            effect=one_line(row.effect_text, 400),
            chosen=chosen is not None
            and row.key == chosen.key
            and row.environment_id == chosen.environment_id,
        )
        for row in rows
    )
    return Table(
        tuple(_heading(column) for column in shown),
        lines,
        tuple(sorted({row.batch_size for row in rows})),
        any(row.throughput_ci_low is not None for row in ran),
        _note(ran),
    )


def _heading(column: Column) -> Heading:
    unit = "%" if column.name in _PERCENT else _UNITS.get(column.unit, column.unit)
    return Heading(SHOWN[column.name], unit, column.about, lower=column.better == "lower")


def _cell(row: Row, column: Column, widest: float) -> Cell:
    value = getattr(row, column.name)
    if value is None:
        return Cell("-")
    if column.name == "throughput_samples_per_s":
        low, high = row.throughput_ci_low, row.throughput_ci_high
        shown = short(value) + ("" if low is None else f" ({interval(low, high)})")
        return Cell(
            shown, value, *(None if end is None else 100 * end / widest for end in (value, low, high))
        )
    if column.name == "speedup":
        verdict = change(row) or "unclear"
        low, high = row.speedup_ci_low, row.speedup_ci_high
        ends = "" if low is None else f" ({interval(low, high)})"
        return Cell(f"{MARKS[verdict]} {times(value)}{ends} {verdict}", value)
    return Cell(_figure(value, column), value)


def _figure(value: float, column: Column) -> str:
    if column.name in _PERCENT:
        return f"{100 * value:.2f}"
    if column.decimals is None:
        return f"{value:,}"
    if column.unit in ("%", "percentage points"):
        return "0.00" if abs(value) < 0.005 else f"{value:.2f}"
    return f"{value:.0f}" if abs(value) >= 100 else short(value)


def _note(ran: Sequence[Row]) -> str:
    timed = [row for row in ran if row.throughput_samples_per_s is not None]
    bare = [row for row in timed if row.throughput_ci_low is None]
    if not timed:
        return "No row was timed."
    rule = "without one, a speed-up within ±3 % is called the same"
    if len(bare) == len(timed):
        return f"Bars show the throughput. No row has an interval; {rule}."
    note = "Bars show the throughput, the mark on it its 95 % interval"
    note += f"; none in {len(bare)} of {len(timed)} rows: {rule}." if bare else "."
    return f"{note} Speed-ups are taken moment by moment, so they aren't quite quotients of throughputs."
