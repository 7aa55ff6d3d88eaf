"""Two traces operator by operator: what disappeared, what is new, what got faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from densebench.text import joined, short, times
from densebench.viewer.categories import Category
from densebench.viewer.trace import NS_PER_MS, Array, Trace
from densebench.viewer.views import Operator, operators, splits, step_ms, unsplit

SAME = 0.03  # of an operator's time: as in the verdicts of the report
MENTIONED = 3
OTHER_WORK = (
    "Their steps hold different numbers of images, so times of the one can't be held against the other's."
)
Key = tuple[str, bool]  # an operator's name, and whether it ran on a device


class Change(TypedDict):
    """A row of the comparison: an operator of either trace."""

    name: str
    device: bool
    category: int
    a_ms: float
    b_ms: float
    a_calls: float
    b_calls: float
    saved_ms: float
    change: str


@dataclass(frozen=True)
class Side:
    """One of the two traces, by the name that sentences give it."""

    name: str
    trace: Trace

    def operators(self) -> dict[Key, Operator]:
        """The operators' rows."""
        return {(row["name"], row["device"]): row for row in operators(self.trace)}

    def each_step(self) -> dict[Key, Array]:
        """Each operator's own time in each step, milliseconds."""
        trace = self.trace
        rows = np.flatnonzero((trace.step >= 0) & (trace.category != Category.OUTSIDE))
        key = trace.name[rows].astype(np.int64) * 2 + trace.device_event[rows]
        keys, group = np.unique(key, return_inverse=True)
        place = group * trace.step_count + trace.step[rows]
        sums = np.bincount(place, weights=trace.own[rows], minlength=len(keys) * trace.step_count)
        table = sums.reshape(len(keys), trace.step_count) / NS_PER_MS
        return {
            (trace.names[one // 2], bool(one % 2)): table[number] for number, one in enumerate(keys.tolist())
        }


def compare(a: Side, b: Side, *, same_work: bool = True) -> dict[str, object]:
    """Every operator of either; the most time saved by `b` first, the most added last.

    `change` is `gone` or `new`, else `faster` or `slower` where every step of the one took less than every step
    of the other and the means differ by more than 3 %, `same` where they differ by less, else `unclear`.
    """
    before, after = a.operators(), b.operators()
    steps_a, steps_b = a.each_step(), b.each_step()
    rows = [
        _row(key, before.get(key), after.get(key), steps_a, steps_b) for key in before.keys() | after.keys()
    ]
    rows.sort(key=lambda row: (-row["saved_ms"], row["name"]))
    return {
        "a": {"name": a.name, "step_ms": step_ms(a.trace), "splits": splits(a.trace)},
        "b": {"name": b.name, "step_ms": step_ms(b.trace), "splits": splits(b.trace)},
        "rows": rows,
        "sentences": ([] if same_work else [OTHER_WORK]) + _sentences(a, b, rows),
    }


def _row(
    key: Key,
    before: Operator | None,
    after: Operator | None,
    steps_a: Mapping[Key, Array],
    steps_b: Mapping[Key, Array],
) -> Change:
    one = before or after
    assert one is not None, "the key is of one of the two"
    a_ms = before["own_ms"] if before else 0.0
    b_ms = after["own_ms"] if after else 0.0
    return {
        "name": key[0],
        "device": key[1],
        "category": one["category"],
        "a_ms": a_ms,
        "b_ms": b_ms,
        "a_calls": before["calls"] if before else 0,
        "b_calls": after["calls"] if after else 0,
        "saved_ms": round(a_ms - b_ms, 5),
        "change": "new" if not before else "gone" if not after else _change(steps_a[key], steps_b[key]),
    }


def _change(a: Array, b: Array) -> str:
    if abs(a.mean() - b.mean()) <= SAME * a.mean():
        return "same"
    if len(a) > 1 and len(b) > 1:  # one step says nothing about how much steps differ
        if b.max() < a.min():
            return "faster"
        if b.min() > a.max():
            return "slower"
    return "unclear"


def _sentences(a: Side, b: Side, rows: list[Change]) -> list[str]:
    a_ms, b_ms = step_ms(a.trace), step_ms(b.trace)
    less = a_ms - b_ms
    said = [
        f"A step of {b.name} takes {short(b_ms)} ms under the profiler, one of {a.name} {short(a_ms)} ms: "
        f"{short(abs(less))} ms {'less' if less >= 0 else 'more'}"
        + (f", {times(a_ms / b_ms)} as fast." if b_ms else ".")
    ]
    said += _by_category(a, b)
    for change, word in (("gone", "Gone"), ("new", "New"), ("faster", "Faster"), ("slower", "Slower")):
        found = sorted(
            (row for row in rows if row["change"] == change), key=lambda row: -abs(row["saved_ms"])
        )
        if found:
            said.append(f"{word}: {_named(found)}.")
    shared = sum(row["a_calls"] > 0 and row["b_calls"] > 0 for row in rows)
    if rows and shared < 0.1 * len(rows):
        said.append(
            "The two hardly share a name: different engines name their operators differently. Compare their "
            "kinds of work instead."
        )
    for side in (a, b):
        said += [
            f"{side.name}: {sentence}" for sentence in unsplit(side.trace, list(side.operators().values()))
        ]
    return said


def _by_category(a: Side, b: Side) -> list[str]:
    """The kind of work that saved most and the one that added most, where both traces have the same lanes."""
    said = []
    for one, other in zip(splits(a.trace), splits(b.trace), strict=False):
        if one["where"] != other["where"]:
            continue
        pairs = zip(one["parts"], other["parts"], strict=True)
        saved = sorted(
            ((before["ms"] - after["ms"], before["label"]) for before, after in pairs), reverse=True
        )
        most, label = saved[0]
        least, worst = saved[-1]
        if most > 0:
            said.append(f"On the {one['where']} most is saved in {label}: {short(most)} ms a step.")
        if least < 0:
            said.append(f"On the {one['where']} most is added in {worst}: {short(-least)} ms a step.")
    return said


def _named(rows: list[Change]) -> str:
    named = [f"{row['name']} ({_signed(row['saved_ms'])} ms)" for row in rows[:MENTIONED]]
    more = len(rows) - len(named)
    if not more:
        return joined(named)
    rest = sum(row["saved_ms"] for row in rows[MENTIONED:])
    return f"{', '.join(named)} and {more} more ({_signed(rest)} ms)"


def _signed(saved_ms: float) -> str:
    return f"{'-' if saved_ms > 0 else '+'}{short(abs(saved_ms))}"
