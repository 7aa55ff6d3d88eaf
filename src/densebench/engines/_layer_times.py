"""Chrome trace events from a profiler that tells how long each layer took, and not when it began."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from densebench.engines.base import TraceEvent

LAID = "durations laid end to end: the engine's profiler gives no start times"


@dataclass(frozen=True)
class LayerTime:
    """One layer of one inference.

    Args:
        operator: its kind (`Conv`, `Concat`).
        us: how long it took, microseconds.
        args: which layer it was, and what ran it.

    """

    operator: str
    us: float
    args: dict[str, str]


def chrome_events(inferences: Iterable[Sequence[LayerTime]], category: str) -> list[TraceEvent]:
    """The layers of each inference end to end, below a mark `ProfilerStep#k` as PyTorch's profiler makes it."""
    events: list[TraceEvent] = []
    start_us = 0.0
    for step, layers in enumerate(inferences):
        whole_us = sum(layer.us for layer in layers)
        events.append(_event(f"ProfilerStep#{step}", "user_annotation", start_us, whole_us, {}))
        for layer in layers:
            events.append(_event(layer.operator, category, start_us, layer.us, {**layer.args, "start": LAID}))
            start_us += layer.us
    return events


def _event(name: str, category: str, ts: float, dur: float, args: dict[str, str]) -> TraceEvent:
    return {"ph": "X", "cat": category, "name": name, "pid": 0, "tid": 0, "ts": ts, "dur": dur, "args": args}
