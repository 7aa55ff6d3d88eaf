"""The comparison at a glance: every recipe at every batch size, with its verdict, the best recipe first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densebench.decision.objective import column_of, figure
from densebench.report.html.comparison import MARKS, SHOWN
from densebench.report.html.style import Series
from densebench.report.sweep import Sweep, change
from densebench.results.columns import COLUMNS
from densebench.results.observation import Status
from densebench.results.problems import STATUS_WORDS
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import short, times

NOTE = (
    "Speed-up over the baseline at the same batch size: ▲ faster, ▼ slower, = the same within ±3 %, ? not told "
    "apart. Below it images per second."
)


@dataclass(frozen=True)
class Square:
    """One recipe at one batch size: its verdict, its speed-up, its images per second; or how it ended."""

    verdict: str
    text: str
    speed: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Line:
    """A recipe's squares, and the best figure of the objective that it has."""

    series: Series
    squares: tuple[Square, ...]
    best: str


@dataclass(frozen=True)
class Matrix:
    """The lines in the order of the objective, and what the best figure is."""

    sizes: tuple[int, ...]
    lines: tuple[Line, ...]
    best: str
    unit: str
    note: str = NOTE


def matrix(sweep: Sweep, series: Sequence[Series], chosen: Row | None) -> Matrix:
    """All recipes; those without a figure of the objective come last."""
    sizes = tuple(sorted({row.batch_size for row in sweep.rows}))
    name = column_of(sweep.objective, sweep.rows[0].device if sweep.rows else "cpu")
    column = next(column for column in COLUMNS if column.name == name)
    ranked = sorted(((_best(sweep, one), one) for one in series), key=lambda pair: _rank(sweep, pair[0]))
    lines = [
        Line(one, tuple(_square(one, size, chosen) for size in sizes), short(best)) for best, one in ranked
    ]
    return Matrix(sizes, tuple(lines), f"best {SHOWN[name]}", column.unit)


def _best(sweep: Sweep, series: Series) -> float | None:
    found = [figure(row, sweep.objective) for row in series.rows if row.status is Status.OK]
    known = [value for value in found if value is not None]
    return (max if sweep.objective == "throughput" else min)(known, default=None)


def _rank(sweep: Sweep, best: float | None) -> tuple[bool, float]:
    """The best first, none last."""
    return best is None, (-1 if sweep.objective == "throughput" else 1) * (best or 0.0)


def _square(series: Series, size: int, chosen: Row | None) -> Square:
    row = next((one for one in series.rows if one.batch_size == size), None)
    if row is None:
        return Square("", "-")
    if row.status is not Status.OK:
        return Square(row.status.value, STATUS_WORDS[row.status])
    verdict = "" if row.recipe == BASELINE else change(row) or ""
    text = f"{MARKS[verdict]} {times(row.speedup)}".rstrip() if verdict else "baseline"
    if row.recipe != BASELINE and not verdict:
        text = "not compared"
    return Square(verdict, text, short(row.throughput_samples_per_s), row is chosen)
