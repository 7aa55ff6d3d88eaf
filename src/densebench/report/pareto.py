"""Throughput against accuracy: which recipes are worth a look, and of which that can't be said for certain.

A recipe is on the Pareto front if no other is at least as good in both and better in one. Throughputs are told
apart by their intervals, or by the ±3 % of the report where a row has none. All recipes saw the same validation
images, so accuracies are told apart image by image (exact McNemar test), which sees more than two intervals do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from densebench.report.sweep import Finding, Sweep, finding, throughput
from densebench.results.record import Row
from densebench.stats.proportion import discordant, no_difference_p
from densebench.stats.samples import CONFIDENCE
from densebench.stats.speedup import CLEAR
from densebench.text import joined, short

Membership = Literal["on", "off", "uncertain"]


@dataclass(frozen=True)
class Point:
    """A recipe's row with its top-1 (percent), the Wilson interval of that where the images are known one by one.

    `by_estimate` says whether the plain figures put the point on the front. `rival` is the recipe that keeps an
    uncertain or dominated point from being on it, "" where nothing does.
    """

    row: Row
    accuracy: float
    low: float | None
    high: float | None
    membership: Membership
    by_estimate: bool
    rival: str


@dataclass(frozen=True)
class _Candidate:
    row: Row
    accuracy: float
    correct: str


def front(sweep: Sweep, rows: Sequence[Row]) -> list[Point]:
    """The rows that have a throughput and whose recipe's accuracy is known, each with its place."""
    known = {
        recipe: sweep.fact(recipe, "accuracy_top1") for recipe in dict.fromkeys(row.recipe for row in rows)
    }
    candidates = [
        _Candidate(row, fact[0], fact[1].correct_top1)
        for row in rows
        if (fact := known[row.recipe]) is not None
    ]
    return [_place(one, [other for other in candidates if other is not one]) for one in candidates]


def _place(one: _Candidate, others: Sequence[_Candidate]) -> Point:
    low, high = one.row.accuracy_top1_ci_low, one.row.accuracy_top1_ci_high
    by_estimate = not any(_dominates(other, one) for other in others)
    rivals = [(other, _speed(other, one)) for other in others]
    orders = [(other, {speed, _accuracy(other, one)}) for other, speed in rivals if speed != "worse"]
    membership: Membership = "on"
    rival = ""
    for other, both in orders:
        if "better" in both and both <= {"better", "equal"}:
            membership, rival = "off", other.row.recipe
            break
        if "unclear" in both and "worse" not in both and membership == "on":
            membership, rival = "uncertain", other.row.recipe
    return Point(one.row, one.accuracy, low, high, membership, by_estimate, rival)


_Order = Literal["better", "worse", "equal", "unclear"]


def _dominates(other: _Candidate, one: _Candidate) -> bool:
    figures = [(throughput(other.row), throughput(one.row)), (other.accuracy, one.accuracy)]
    return all(a >= b for a, b in figures) and any(a > b for a, b in figures)


def _speed(other: _Candidate, one: _Candidate) -> _Order:
    (low, high), (one_low, one_high) = _interval(other.row), _interval(one.row)
    return "better" if low > one_high else "worse" if high < one_low else "unclear"


def _interval(row: Row) -> tuple[float, float]:
    if row.throughput_ci_low is not None and row.throughput_ci_high is not None:
        return row.throughput_ci_low, row.throughput_ci_high
    half = CLEAR / 2  # so that two figures without intervals overlap within ±3 %
    return (1 - half) * throughput(row), (1 + half) * throughput(row)


def _accuracy(other: _Candidate, one: _Candidate) -> _Order:
    """Image by image where both have them; else as the figures stand."""
    if one.correct and len(one.correct) == len(other.correct):
        return _paired(other.correct, one.correct)
    return "equal" if other.accuracy == one.accuracy else _sign(other.accuracy - one.accuracy)


@lru_cache(maxsize=4096)  # the same recipes are compared at every batch size
def _paired(other: str, one: str) -> _Order:
    lost, gained = discordant(one, other)
    if gained == lost == 0:
        return "equal"
    return _sign(gained - lost) if no_difference_p(lost, gained) < 1 - CONFIDENCE else "unclear"


def _sign(difference: float) -> _Order:
    return "better" if difference > 0 else "worse"


def undominated(sweep: Sweep) -> Iterator[Finding]:
    """Which recipes no other beats in both throughput and top-1, and of which that is not certain."""
    points = front(sweep, sweep.best)
    if len(points) < 2:
        return
    sure = [point for point in points if point.membership == "on"]
    unsure = [point for point in points if point.membership == "uncertain"]
    if sure:
        names = joined([f"{one.row.recipe} ({_figures(one)})" for one in sure])
        yield finding(
            "pareto", f"Beaten by no other in both throughput and top-1: {names}.", (p.row for p in points)
        )
    if unsure:
        names = joined([f"{one.row.recipe} (against {one.rival})" for one in unsure])
        sentence = f"Too close to say whether another beats it in both throughput and top-1: {names}."
        yield finding("pareto", sentence, (point.row for point in points))


def _figures(point: Point) -> str:
    return f"{short(throughput(point.row))} images/s, {point.accuracy:.2f} %"
