"""Memory that a trace saw allocated: over time, and by operator."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from densebench.text import short
from densebench.viewer.categories import Category
from densebench.viewer.trace import NS_PER_MS, Array, Trace

MOST_POINTS = 2000  # of a line across the page


class Allocated(TypedDict):
    """Bytes and number of allocations a step inside one operator."""

    name: str
    bytes: int
    count: float


class Device(TypedDict):
    """One memory over time, and who allocated in it."""

    name: str
    time_ms: list[float]
    low_bytes: list[int]
    high_bytes: list[int]
    end_ms: float
    peak_bytes: int
    peak_ms: float
    peak_in: str
    allocations: int
    by_operator: list[Allocated]


class Memory(TypedDict):
    """What the page draws of the memory that was watched."""

    devices: list[Device]
    steps_ms: list[list[float]]


def memory(trace: Trace, points: int = MOST_POINTS) -> Memory:
    """Bytes allocated over time, as lowest and highest value of up to `points` spans, and who allocated."""
    running = _around(trace)
    devices: list[Device] = []
    for number, name in enumerate(trace.devices):
        here = np.flatnonzero(trace.memory_device == number)
        if not len(here):
            continue
        time, total = trace.memory_time[here], trace.memory_total[here]
        cuts = np.unique(np.linspace(0, len(here), min(points, len(here)) + 1).astype(int)[:-1])
        peak = int(total.argmax())
        event = running[here[peak]]
        devices.append(
            {
                "name": name,
                "time_ms": (time[cuts] / NS_PER_MS).round(5).tolist(),
                "low_bytes": np.minimum.reduceat(total, cuts).tolist(),
                "high_bytes": np.maximum.reduceat(total, cuts).tolist(),
                "end_ms": round(float(time[-1]) / NS_PER_MS, 5),
                "peak_bytes": int(total[peak]),
                "peak_ms": round(float(time[peak]) / NS_PER_MS, 5),
                "peak_in": trace.names[trace.name[event]] if event >= 0 else "",
                "allocations": int((trace.memory_change[here] > 0).sum()),
                "by_operator": _allocated(trace, here, running),
            }
        )
    return {"devices": devices, "steps_ms": (trace.steps / NS_PER_MS).round(5).tolist()}


def _around(trace: Trace) -> Array:
    """For each change of memory the outermost operator around it, -1 where there is none."""
    event = trace.memory_event.astype(np.int64)
    end = trace.start + trace.duration
    while (over := (event >= 0) & (end[event] < trace.memory_time)).any():
        event = np.where(over, trace.parent[event], event)
    while True:
        outer = np.where(event >= 0, trace.parent[event], -1)
        climb = (outer >= 0) & (trace.category[outer] != Category.OUTSIDE)
        if not climb.any():
            break
        event = np.where(climb, outer, event)
    return np.where((event >= 0) & (trace.category[event] != Category.OUTSIDE), event, -1)


def _allocated(trace: Trace, here: Array, running: Array) -> list[Allocated]:
    """Bytes and number of allocations a step inside each outermost operator; the most first."""
    here = here[(trace.memory_change[here] > 0) & (running[here] >= 0)]
    here = here[trace.step[running[here]] >= 0]
    name, group = np.unique(trace.name[running[here]], return_inverse=True)
    each = np.bincount(group, weights=trace.memory_change[here]) / trace.step_count
    count = np.bincount(group) / trace.step_count
    rows: list[Allocated] = [
        {
            "name": trace.names[one],
            "bytes": round(float(each[number])),
            "count": round(float(count[number]), 2),
        }
        for number, one in enumerate(name.tolist())
    ]
    return sorted(rows, key=lambda row: -row["bytes"])


def memory_sentences(trace: Trace) -> list[str]:
    """The highest sum of each memory that was watched, and inside which operator it was reached."""
    peaks = memory(trace, 1)["devices"]
    return [
        f"{one['name'][0].upper()}{one['name'][1:]} allocated while the profiler watched: at most "
        f"{short(one['peak_bytes'] / 1e6)} MB{', inside ' + one['peak_in'] if one['peak_in'] else ''}."
        for one in peaks
    ]
