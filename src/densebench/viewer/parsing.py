"""A trace file as columns: what PyTorch's profiler writes, and other engines' layers in the same format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from densebench.viewer.categories import Category, category_of
from densebench.viewer.columns import Columns
from densebench.viewer.nesting import nest
from densebench.viewer.reading import NoTrace, events
from densebench.viewer.trace import Array, Trace

_STEP = re.compile(r"ProfilerStep#\d+")


def parse(path: Path) -> Trace:
    """Read a trace file whole. What is damaged or odd in it stands in the trace's notes.

    Raises:
        NoTrace: the file holds no event.
        OSError: it can't be read.

    """
    columns, notes = Columns(), []
    broken = None
    try:
        for event in events(path):
            columns.add(event)
    except NoTrace as problem:
        broken = problem
        notes.append(str(problem))
    found = columns.calls()
    if not len(found["start"]):
        raise broken or NoTrace("The file holds no call with a duration.")
    if columns.odd:
        notes.append(f"{columns.odd} events have no usable time and are left out.")
    return _built(columns, found, notes)


def _built(columns: Columns, found: dict[str, Array], notes: list[str]) -> Trace:
    order = np.lexsort((-found["duration"], found["start"], found["lane"]))
    found = {column: values[order] for column, values in found.items()}
    origin = int(found["start"].min())
    found["start"] -= origin
    own, depth, parent = _nested(found)
    names = tuple(columns.names.numbers)
    is_step = np.array([bool(_STEP.fullmatch(name)) for name in names], bool)[found["name"]]
    is_step &= found["device"] == 0
    on_device = np.zeros(len(columns.lanes), bool)
    on_device[found["lane"][found["device"] == 1]] = True
    main = _main_lane(found, own, is_step, on_device)
    steps, source = _steps(found, is_step, main)
    memory = _memory(columns, found, origin)
    return Trace(
        names=names,
        shapes=tuple(columns.shapes.numbers),
        layers=tuple(columns.layers.numbers),
        lanes=_labels(columns, on_device),
        on_device=tuple(map(bool, on_device)),
        main=main,
        devices=tuple(columns.devices.numbers),
        step_source=source,
        notes=tuple(notes),
        name=found["name"].astype(np.int32),
        lane=found["lane"].astype(np.int32),
        start=found["start"],
        duration=found["duration"],
        own=own,
        depth=depth.astype(np.int32),
        parent=parent.astype(np.int32),
        shape=found["shape"].astype(np.int32),
        layer=found["layer"].astype(np.int32),
        category=_categories(names, found, depth, parent, is_step).astype(np.int8),
        step=_step_of(found, steps).astype(np.int32),
        steps=steps,
        **memory,
    )


def _nested(found: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """Own time, depth and parent of each event, lane by lane."""
    size = len(found["start"])
    own, depth, parent = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(found["lane"])) + 1), size]
    for low, high in pairwise(cuts):
        starts = found["start"][low:high]
        inside = nest(starts.tolist(), (starts + found["duration"][low:high]).tolist())
        parents = np.array(inside.parents, np.int64)
        own[low:high], depth[low:high] = inside.own, inside.depths
        parent[low:high] = np.where(parents < 0, -1, parents + low)
    return own, depth, parent


def _main_lane(found: Mapping[str, Array], own: Array, is_step: Array, on_device: Array) -> int:
    """The lane with the step marks; else the busiest of the processor, or of all if it has none."""
    if is_step.any():
        return int(found["lane"][is_step][0])
    busy = np.bincount(found["lane"], weights=own, minlength=len(on_device))
    host = np.where(on_device, -1.0, busy)
    return int((host if host.max() > 0 else busy).argmax())


def _steps(found: Mapping[str, Array], is_step: Array, main: int) -> tuple[Array, str]:
    end = found["start"] + found["duration"]
    if is_step.any():
        marks = is_step & (found["lane"] == main)
        return np.stack([found["start"][marks], end[marks]], axis=1), "marks"
    here = np.flatnonzero(found["lane"] == main)
    layers = found["layer"][here]
    first = layers[layers >= 0][:1]
    begins = here[np.flatnonzero(layers == first[0])] if len(first) else here[:1]
    if len(begins) > 1:
        lasts = np.append(begins[1:], here[-1] + 1)
        ends = [int(end[low:high].max()) for low, high in zip(begins, lasts, strict=True)]
        return np.stack([found["start"][begins], np.array(ends, np.int64)], axis=1), "layers"
    return np.array([[found["start"].min(), end.max()]], np.int64), "whole"


def _step_of(found: Mapping[str, Array], steps: Array) -> Array:
    """The step in which each event began. A device runs behind: its events have until the next step begins."""
    step = np.searchsorted(steps[:, 0], found["start"], side="right") - 1
    late = (found["start"] >= steps[:, 1][step]) & (found["device"] == 0)
    return np.where((step < 0) | late, -1, step)


def _categories(
    names: tuple[str, ...], found: Mapping[str, Array], depth: Array, parent: Array, is_step: Array
) -> Array:
    """By the name; else that of the operator around it, or of the one that launched the kernel."""
    named = np.array([category_of(name) for name in names], np.int64)
    category = named[found["name"]]
    category[is_step] = Category.OUTSIDE
    for level in range(1, int(depth.max(initial=0)) + 1):
        inside = np.flatnonzero((depth == level) & (category == Category.OTHER))
        around = category[parent[inside]]
        category[inside] = np.where(around == Category.OUTSIDE, Category.OTHER, around)
    device = found["device"] == 1
    if device.any():
        launchers = np.flatnonzero(~device & (found["launch"] >= 0))
        by_launch = dict(zip(found["launch"][launchers].tolist(), category[launchers].tolist(), strict=True))
        for event in np.flatnonzero(device & (category == Category.OTHER)):
            launched = by_launch.get(int(found["launch"][event]), Category.OTHER)
            category[event] = Category.OTHER if launched == Category.OUTSIDE else launched
    return category


def _memory(columns: Columns, found: Mapping[str, Array], origin: int) -> dict[str, Array]:
    seen = columns.changes()
    order = np.argsort(seen["time"], kind="stable")
    time, lane = seen["time"][order] - origin, seen["lane"][order]
    return {
        "memory_time": time,
        "memory_total": seen["total"][order],
        "memory_change": seen["change"][order],
        "memory_device": seen["device"][order].astype(np.int32),
        "memory_event": _running(found, time, lane).astype(np.int32),
    }


def _running(found: Mapping[str, Array], time: Array, lane: Array) -> Array:
    """The event that began last before each moment on its lane; it, or one around it, runs then."""
    event = np.full(len(time), -1, np.int64)
    for one in np.unique(lane):
        low, high = np.searchsorted(found["lane"], [one, one + 1])
        here = lane == one
        place = np.searchsorted(found["start"][low:high], time[here], side="right") - 1
        event[here] = np.where(place < 0, -1, place + low)
    return event


def _labels(columns: Columns, on_device: Array) -> tuple[str, ...]:
    """What each lane is called: as the file says, else by its numbers."""
    found = []
    for (process, lane), number in columns.lanes.items():
        plain = f"{'stream' if on_device[number] else 'thread'} {lane}"
        found.append(columns.labels.get((process, lane), plain))
    return tuple(found)
