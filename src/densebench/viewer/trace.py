"""A trace as columns: one entry of each array for each event."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NS_PER_MS = 1e6
STEP_SOURCES = {
    "marks": "Steps as the profiler marked them",
    "layers": "No steps are marked: a step begins where the first layer comes again",
    "whole": "No steps are marked: the whole trace counts as one",
}


@dataclass(frozen=True, eq=False)
class Trace:
    """Events sorted by lane (a thread of the processor or a stream of a device), then by start.

    Times are whole nanoseconds from the first event. `own` is the duration without the events inside. `step` is
    -1 outside the measured steps; `parent`, `shape` and `layer` are -1 where there is none. `steps` has a row
    (start, end) for each step. The memory columns have an entry for each allocation and each release.
    """

    names: tuple[str, ...]
    shapes: tuple[str, ...]
    layers: tuple[str, ...]
    lanes: tuple[str, ...]
    on_device: tuple[bool, ...]  # of each lane
    main: int  # the lane that the steps run on
    devices: tuple[str, ...]  # whose memory was watched
    step_source: str
    notes: tuple[str, ...]
    name: Array
    lane: Array
    start: Array
    duration: Array
    own: Array
    depth: Array
    parent: Array
    shape: Array
    layer: Array
    category: Array
    step: Array
    steps: Array
    memory_time: Array
    memory_total: Array
    memory_change: Array
    memory_device: Array
    memory_event: Array  # the event that ran then, -1 where none did

    @property
    def step_count(self) -> int:
        return len(self.steps)

    @property
    def step_ms(self) -> Array:
        """The length of each step, milliseconds."""
        return (self.steps[:, 1] - self.steps[:, 0]) / NS_PER_MS

    @property
    def span_ns(self) -> int:
        """From the first event to the end of the last."""
        return int((self.start + self.duration).max(initial=0))

    @property
    def device_event(self) -> Array:
        """Whether each event ran on a device other than the processor."""
        return np.asarray(self.on_device, bool)[self.lane]

    @property
    def bytes(self) -> int:
        """What the columns take in memory."""
        return sum(getattr(self, one.name).nbytes for one in fields(self) if one.name in _ARRAYS)

    @cached_property
    def rows(self) -> list[tuple[int, int, Array]]:
        """The timeline's rows: lane, depth, and the row's events by start. No two of a row overlap."""
        order = np.lexsort((self.start, self.depth, self.lane))
        keys = self.lane[order].astype(np.int64) << 32 | self.depth[order]
        cuts = np.flatnonzero(np.diff(keys)) + 1
        return [
            (int(self.lane[part[0]]), int(self.depth[part[0]]), part)
            for part in np.split(order, cuts)
            if len(part)
        ]

    def save(self, path: Path) -> None:
        """Write the columns as one file of plain arrays."""
        text = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _ARRAYS}
        packed = np.frombuffer(json.dumps(text).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, text=packed, **{name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote; nothing in the file is run.

        Raises:
            ValueError, KeyError, OSError, zipfile.BadZipFile: it is no such file.

        """
        with np.load(path, allow_pickle=False) as file:
            text = json.loads(file["text"].tobytes())
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in text.items()
            }
            return cls(**values, **{name: file[name] for name in _ARRAYS})


_ARRAYS = frozenset(one.name for one in fields(Trace) if one.type == "Array")
