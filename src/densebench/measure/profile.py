"""A profiler trace of a few inferences, in a pass of its own: profiling slows what it watches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from densebench.engines.base import TraceEvent

STEPS = 3
ENOUGH_S = 1.0  # seconds of them, after which a trace holds all that it can tell
WARM_UP = 1  # on a GPU, where the profiler has kernels to get to know; the model was timed before


def write_trace(call: Callable[[], object], device: str, path: Path) -> int:
    """Write a Chrome trace (`*.pt.trace.json`) of up to `STEPS` warmed-up calls; return its size in bytes."""
    from torch.profiler import ProfilerActivity, profile, record_function

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    for _ in range(WARM_UP if device == "cuda" else 0):
        call()
    with profile(activities=activities, record_shapes=True, profile_memory=True) as profiler:
        end = time.monotonic() + ENOUGH_S
        for step in range(STEPS):
            with record_function(f"ProfilerStep#{step}"):
                call()
            if time.monotonic() > end:
                break
    with _whole(path) as part:
        profiler.export_chrome_trace(str(part))
    return path.stat().st_size


def write_events(events: Sequence[TraceEvent], path: Path) -> None:
    """Write events of an engine's own profiler as such a trace."""
    with _whole(path) as part:
        content = {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": events}
        part.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write that takes its final name only if nothing fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
