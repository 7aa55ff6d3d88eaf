"""What is read of a Chrome trace's events, as columns in the file's order."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from typing import Any

_DEVICE = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
# Spans that the profiler draws over whole lanes; as calls they would own everything below them.
_DRAWN = frozenset({"Trace", "gpu_user_annotation", "overhead"})
_LATEST_NS = 1 << 62
MOST_SHAPES = 3  # of a list of tensors
# Inductor puts a hash of the graph into the name: without it, the graphs of two recipes can be compared.
_GRAPH = re.compile(r"^## Call CompiledFxGraph \w+ ##$")
_CALL = ("name", "lane", "start", "duration", "shape", "layer", "launch", "device")
_MEMORY = ("time", "total", "change", "device", "lane")


class _Words:
    """Each text once; its number stands in the columns."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, word: str) -> int:
        return self.numbers.setdefault(word, len(self.numbers))


class Columns:
    """Calls in `of`, allocations and releases in `memory`; times in nanoseconds on the file's own clock."""

    def __init__(self) -> None:
        self.names, self.shapes, self.layers, self.devices = _Words(), _Words(), _Words(), _Words()
        self.lanes: dict[tuple[str, str], int] = {}
        self.labels: dict[tuple[str, str], str] = {}
        self.of = {column: array("q") for column in _CALL}
        self.memory = {column: array("q") for column in _MEMORY}
        self.odd = 0  # events that can't be placed

    def add(self, event: Mapping[str, Any]) -> None:
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
                self.labels[_place(event)] = str(args["name"])
        except (KeyError, TypeError, ValueError, OverflowError):
            self.odd += 1

    def _call(self, event: Mapping[str, Any], args: Mapping[str, Any], *, on_device: bool) -> None:
        start, duration = _ns(event["ts"]), _ns(event["dur"])
        if duration < 0:
            raise ValueError
        dims = args.get("Input Dims") or args.get("input shapes")
        layer = args.get("layer")
        launch = args.get("External id")
        values = (
            self.names.number(_GRAPH.sub("Call CompiledFxGraph", str(event["name"]))),
            self._lane(event),
            start,
            duration,
            self.shapes.number(_shape(dims)) if dims else -1,
            self.layers.number(str(layer)) if layer else -1,
            launch if isinstance(launch, int) and 0 <= launch < _LATEST_NS else -1,
            on_device,
        )
        for column, value in zip(self.of.values(), values, strict=True):
            column.append(value)

    def _memory(self, event: Mapping[str, Any], args: Mapping[str, Any]) -> None:
        kind, number = args.get("Device Type", 0), args.get("Device Id", 0)
        where = "host memory" if kind == 0 else f"device {number} memory"
        values = (
            _ns(event["ts"]),
            int(args["Total Allocated"]),
            int(args.get("Bytes", 0)),
            self.devices.number(where),
            self._lane(event),
        )
        for column, value in zip(self.memory.values(), values, strict=True):
            column.append(value)

    def _lane(self, event: Mapping[str, Any]) -> int:
        return self.lanes.setdefault(_place(event), len(self.lanes))


def _place(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event.get("pid")), str(event.get("tid"))


def _ns(microseconds: Any) -> int:
    found = round(float(microseconds) * 1000)
    if abs(found) > _LATEST_NS:
        raise OverflowError
    return found


def _shape(dims: Any) -> str:
    """`8x3x32x32, 64x3x7x7` from the inputs' dimensions, with or without their types; lists in brackets."""
    parts = []
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


def _product(sizes: Any) -> str:
    return "x".join(str(size) for size in sizes) if isinstance(sizes, list) else str(sizes)
