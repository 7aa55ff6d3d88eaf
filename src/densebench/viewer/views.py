"""What a trace says about a step: where its time goes, by kind of work and operator by operator.

Every function returns what the page is sent as JSON. Times are milliseconds per step unless the name says
another unit; shares are of the step's time.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from densebench.text import joined, short
from densebench.viewer.categories import Category, hides_operators
from densebench.viewer.memory import memory_sentences
from densebench.viewer.trace import NS_PER_MS, STEP_SOURCES, Array, Trace

TOP = 8
MOSTLY = 0.9
WAITING = 0.5  # of a step: from here on a device is idle more than it works


class Part(TypedDict):
    """One kind of work in a step."""

    category: int
    label: str
    ms: float
    share: float


class Split(TypedDict):
    """A step's time on the processor or on the device, by kind of work."""

    where: str
    lane: str
    parts: list[Part]


class Operator(TypedDict):
    """A row of the table of operators."""

    name: str
    category: int
    mixed: bool
    device: bool
    calls: float
    own_ms: float
    total_ms: float
    mean_us: float
    share: float
    shape: str
    shapes: int


def overview(trace: Trace) -> dict[str, object]:
    """The step's length, its time by kind of work, the heaviest operators, and the same in words."""
    rows = operators(trace)
    return {
        "steps_ms": trace.step_ms.round(4).tolist(),
        "step_ms": step_ms(trace),
        "step_source": STEP_SOURCES[trace.step_source],
        "splits": splits(trace),
        "top": rows[:TOP],
        "sentences": [*_sentences(trace, rows), *trace.notes],
        "events": len(trace.name),
        "lanes": list(trace.lanes),
    }


def splits(trace: Trace) -> list[Split]:
    """A step's time by category, on the lane of the steps and on the device's lanes if there are such."""
    found = []
    counted = (trace.step >= 0) & ~trace.device_event & (trace.lane == trace.main)
    if counted.any():
        found.append(_split("processor", trace, counted, trace.lanes[trace.main]))
    counted = (trace.step >= 0) & trace.device_event
    if counted.any():
        found.append(_split("device", trace, counted, joined(_device_lanes(trace))))
    return found


def _split(where: str, trace: Trace, counted: Array, lane: str) -> Split:
    whole_ms = step_ms(trace)
    sums = np.bincount(trace.category[counted], weights=trace.own[counted], minlength=len(Category))
    each = sums / trace.step_count / NS_PER_MS
    # what no event covers is outside too: where steps aren't marked, and where a device waits
    each[Category.OUTSIDE] += max(0.0, whole_ms - each.sum())
    whole = max(whole_ms, float(each.sum()))
    parts: list[Part] = [
        {
            "category": int(kind),
            "label": "idle" if where == "device" and kind is Category.OUTSIDE else kind.label,
            "ms": round(float(each[kind]), 4),
            "share": _share(each[kind], whole),
        }
        for kind in Category
    ]
    return {"where": where, "lane": lane, "parts": parts}


def _device_lanes(trace: Trace) -> list[str]:
    return [name for name, device in zip(trace.lanes, trace.on_device, strict=True) if device]


def operators(trace: Trace, *, by_shape: bool = False) -> list[Operator]:
    """One row for each operator, or each operator and input shapes; the most own time first."""
    rows = np.flatnonzero((trace.step >= 0) & (trace.category != Category.OUTSIDE))
    key = trace.name[rows] * 2 + trace.device_event[rows]
    key = key.astype(np.int64) * (len(trace.shapes) + 1) + (trace.shape[rows] + 1 if by_shape else 0)
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    steps, whole_ms = trace.step_count, step_ms(trace)
    own = np.bincount(group, weights=trace.own[rows]) / steps / NS_PER_MS
    parents = trace.parent[rows]
    outermost = (parents < 0) | (trace.name[parents] != trace.name[rows])  # a recursive call counts once
    total = np.bincount(group, weights=trace.duration[rows] * outermost) / steps / NS_PER_MS
    calls = np.bincount(group) / steps
    shapes = _shapes(trace, rows, group)
    category, mixed = _main_category(trace, rows, group)
    found: list[Operator] = [
        {
            "name": trace.names[trace.name[event]],
            "category": int(category[number]),
            "mixed": bool(mixed[number]),
            "device": bool(trace.device_event[event]),
            "calls": round(float(calls[number]), 3),
            "own_ms": round(float(own[number]), 5),
            "total_ms": round(float(total[number]), 5),
            "mean_us": round(float(own[number] / calls[number] * 1000), 3),
            "share": _share(own[number], whole_ms),
            "shape": shapes[number][0],
            "shapes": shapes[number][1],
        }
        for number, event in enumerate(rows[first])
    ]
    return sorted(found, key=lambda row: (-row["own_ms"], row["name"]))


def _shapes(trace: Trace, rows: Array, group: Array) -> dict[int, tuple[str, int]]:
    """For each group the input shapes that took most own time, and how many different ones there are."""
    width = len(trace.shapes) + 1
    pairs, inverse = np.unique(group * width + trace.shape[rows] + 1, return_inverse=True)
    own = np.bincount(inverse, weights=trace.own[rows])
    found: dict[int, tuple[float, str, int]] = {}
    for pair, spent in zip(pairs.tolist(), own.tolist(), strict=True):
        number, shape = divmod(pair, width)
        most, text, count = found.get(number, (-1.0, "", 0))
        named = trace.shapes[shape - 1] if shape else ""
        found[number] = (spent, named, count + 1) if spent > most else (most, text, count + 1)
    return {number: (text, count) for number, (_, text, count) in found.items()}


def _main_category(trace: Trace, rows: Array, group: Array) -> tuple[Array, Array]:
    """The category that most of each group's own time is in, and whether a tenth is elsewhere.

    An operator such as `aten::empty` counts as part of what calls it.
    """
    kinds = len(Category)
    key = group * kinds + trace.category[rows]
    groups = int(group.max(initial=-1)) + 1
    spent = np.bincount(key, weights=trace.own[rows] + 1, minlength=groups * kinds)
    table = spent.reshape(groups, kinds)
    return table.argmax(axis=1), table.max(axis=1) < MOSTLY * table.sum(axis=1)


def _sentences(trace: Trace, rows: list[Operator]) -> list[str]:
    said = [_steps_sentence(trace)]
    for split in splits(trace):
        parts = sorted(split["parts"], key=lambda part: -part["ms"])
        named = [f"{part['label']} {_percent(part['share'])}" for part in parts if part["share"] >= 0.01]
        said.append(f"Of the time on the {split['where']}: {joined(named)}.")
        if split["where"] == "device" and split["parts"][Category.OUTSIDE]["share"] >= WAITING:
            said.append(
                "The device waits for the processor to launch its kernels, which the profiler slows too: larger "
                "batches, or fewer kernels (compiled code, CUDA graphs), would use it better."
            )
    if rows:
        top = rows[0]
        said.append(
            f"{top['name']} takes the most time of its own: {short(top['own_ms'])} ms in "
            f"{top['calls']:g} call{'s' * (top['calls'] != 1)} a step."
        )
    return [*said, *unsplit(trace, rows), *memory_sentences(trace)]


def _steps_sentence(trace: Trace) -> str:
    each = trace.step_ms
    if len(each) == 1:
        return f"One step was recorded; it took {short(float(each[0]))} ms."
    return (
        f"A step takes {short(step_ms(trace))} ms under the profiler "
        f"({short(float(each.min()))} to {short(float(each.max()))} in {len(each)} steps)."
    )


def unsplit(trace: Trace, rows: list[Operator]) -> list[str]:
    """How much of the step is inside code that the profiler can't look into, if that is worth a word."""
    hidden = sum(row["own_ms"] for row in rows if hides_operators(row["name"]))
    if hidden < 0.05 * step_ms(trace):
        return []
    said = f"{short(hidden)} ms of a step are inside compiled code, which the profiler doesn't split"
    return [f"{said}: it counts as other operators, whatever it computes."]


def step_ms(trace: Trace) -> float:
    """The mean length of a step."""
    return float(trace.step_ms.mean())


def _share(part: float, whole: float) -> float:
    return round(float(part) / whole, 6) if whole else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
