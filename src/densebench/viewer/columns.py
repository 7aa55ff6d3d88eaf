"""What is read of a Chrome trace's events, as columns in the file's order."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from densebench.viewer.reading import Event
from densebench.viewer.trace import Array

_DEVICE = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
# Spans that the profiler draws over whole lanes; as calls they would own everything below them.
_DRAWN = frozenset({"Trace", "gpu_user_annotation", "overhead"})
_LARGEST = 1 << 62
MOST_SHAPES = 3  # of a list of tensors
# Inductor puts a hash of the graph into the name: without it, the graphs of two recipes can be compared.
_GRAPH = re.compile(r"^## Call CompiledFxGraph \w+ ##$")
_CALL = ("name", "lane", "start", "duration", "shape", "layer", "launch", "device")
_MEMORY = ("time", "total", "change", "device", "lane")


class _Words:
    """Each text once, as `render` makes it of what the file holds; its number stands in the columns."""

    def __init__(self, render: Callable[[Any], str] = str) -> None:
        self._render = render
        self._seen: dict[object, int] = {}
        self.numbers: dict[str, int] = {}

    def number(self, raw: object) -> int:
        known = self._seen.get(raw)
        if known is None:
            known = self._seen[raw] = self.numbers.setdefault(self._render(raw), len(self.numbers))
        return known


class Columns:
    """What was read so far; times in nanoseconds on the file's own clock."""

    def __init__(self) -> None:
        self.names = _Words(lambda name: _GRAPH.sub("Call CompiledFxGraph", str(name)))
        self.shapes, self.layers, self.devices = _Words(_shape), _Words(), _Words()
        self.lanes: dict[tuple[object, object], int] = {}
        self.labels: dict[tuple[object, object], str] = {}
        self._calls, self._changes = array("q"), array("q")  # row after row
        self.odd = 0  # events that can't be placed

    def calls(self) -> dict[str, Array]:
        """The calls: a column for each of `_CALL`."""
        return dict(zip(_CALL, np.array(self._calls, np.int64).reshape(-1, len(_CALL)).T, strict=True))

    def changes(self) -> dict[str, Array]:
        """Allocations and releases: a column for each of `_MEMORY`."""
        return dict(zip(_MEMORY, np.array(self._changes, np.int64).reshape(-1, len(_MEMORY)).T, strict=True))

    def add(self, event: Event) -> None:
        """Take one event of the file, or count it as odd."""
        kind, category = event.get("ph"), event.get("cat")
        args = event.get("args")
        args = args if isinstance(args, dict) else {}
        try:
            if kind == "X" and category not in _DRAWN:
                self._call(event, args, on_device=category in _DEVICE)
            elif event.get("name") == "[memory]" and "Total Allocated" in args:
                self._memory(event, args)
            elif kind == "M" and event.get("name") == "thread_name" and args.get("name"):
                self.labels[event.get("pid"), event.get("tid")] = str(args["name"])
        except (KeyError, TypeError, ValueError, OverflowError):
            self.odd += 1

    def _call(self, event: Event, args: Event, *, on_device: bool) -> None:
        start, duration = _ns(event["ts"]), _ns(event["dur"])
        if duration < 0:
            raise ValueError
        dims = args.get("Input Dims") or args.get("input shapes")
        layer = args.get("layer")
        launch = args.get("External id")
        row = (
            self.names.number(event["name"]),
            self._lane(event),
            start,
            duration,
            self.shapes.number(dims if isinstance(dims, str) else json.dumps(dims)) if dims else -1,
            self.layers.number(layer) if layer else -1,
            launch if isinstance(launch, int) and 0 <= launch < _LARGEST else -1,
            on_device,
        )
        self._calls.extend(row)

    def _memory(self, event: Event, args: Event) -> None:
        kind, number = args.get("Device Type", 0), args.get("Device Id", 0)
        where = self.devices.number("host memory" if kind == 0 else f"device {number} memory")
        total, change = int(args["Total Allocated"]), int(args.get("Bytes", 0))
        if max(abs(total), abs(change)) > _LARGEST:
            raise OverflowError
        self._changes.extend((_ns(event["ts"]), total, change, where, self._lane(event)))

    def _lane(self, event: Event) -> int:
        return self.lanes.setdefault((event.get("pid"), event.get("tid")), len(self.lanes))


def _ns(microseconds: Any) -> int:
    found = round(float(microseconds) * 1000)
    if abs(found) > _LARGEST:
        raise OverflowError
    return found


def _shape(raw: str) -> str:
    """`8x3x32x32, 64x3x7x7` from the inputs' dimensions in JSON, with or without types; lists in brackets."""
    dims, parts = json.loads(raw), []
    for one in dims if isinstance(dims, list) else [dims]:
        sizes = next(iter(one.values()), None) if isinstance(one, dict) else one
        if not isinstance(sizes, list) or not sizes:
            continue
        if isinstance(sizes[0], list):  # a list of tensors, of up to dozens in a dense block
            inner = ", ".join(_product(each) for each in sizes[:MOST_SHAPES])
            parts.append(f"[{inner}{f', … {len(sizes)} in all' if len(sizes) > MOST_SHAPES else ''}]")
        else:
            parts.append(_product(sizes))
    return ", ".join(parts)


def _product(sizes: object) -> str:
    return "x".join(str(size) for size in sizes) if isinstance(sizes, list) else str(sizes)
