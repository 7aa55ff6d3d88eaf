"""The part of a trace that a window of the timeline shows, in no more detail than its pixels can."""

from __future__ import annotations

import numpy as np

from densebench.viewer.categories import Category
from densebench.viewer.trace import Array, Trace

LEAST_PX = 2  # a narrower event is drawn together with its neighbours
WIDEST_PX = 4000
NONE = -1
Box = tuple[float, float, int, int, float, int, int, int]


class _Texts:
    """The names, shapes and layers of one answer, each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, words: tuple[str, ...], which: int) -> int:
        return self.numbers.setdefault(words[which], len(self.numbers)) if which >= 0 else NONE


def timeline(trace: Trace, start_us: float, end_us: float, width_px: int) -> dict[str, object]:
    """What stands between two moments (microseconds from the trace's first event) on `width_px` pixels.

    A box is (start us, duration us, name, category, own time us, shape, layer, events), its texts as numbers
    into `texts`, -1 for none; a box of several events has no name. `deepest` is the number of each lane's rows.
    """
    start, end = int(start_us * 1000), int(end_us * 1000)
    grain = max(1, LEAST_PX * (end - start) // width_px)
    texts, rows, deepest = _Texts(), [], [0] * len(trace.lanes)
    for lane, depth, events in trace.rows:
        deepest[lane] = max(deepest[lane], depth + 1)
        starts = trace.start[events]
        # a row holds no overlaps, so its ends are sorted like its starts
        low = int(np.searchsorted(starts + trace.duration[events], start, side="right"))
        high = int(np.searchsorted(starts, end, side="left"))
        if low < high:
            boxes = _boxes(trace, events[low:high], start, grain, texts)
            rows.append({"lane": lane, "depth": depth, "boxes": boxes})
    return {
        "span_us": trace.span_ns / 1000,
        "lanes": list(trace.lanes),
        "deepest": deepest,
        "rows": rows,
        "texts": list(texts.numbers),
        "steps_us": (trace.steps / 1000).tolist(),
    }


def _boxes(trace: Trace, events: Array, start: int, grain: int, texts: _Texts) -> list[Box]:
    """One box for each event that is wide enough, one for those of each grain that are not."""
    narrow = trace.duration[events] < grain
    cell = (trace.start[events] - start) // grain
    # a run of narrow events in one grain is one block; a wide event is always a block of its own
    begins = np.ones(len(events), bool)
    begins[1:] = ~(narrow[1:] & narrow[:-1] & (cell[1:] == cell[:-1]))
    first = np.flatnonzero(begins)
    count = np.diff(np.append(first, len(events)))
    boxes = []
    for number, several in zip(first.tolist(), count.tolist(), strict=True):
        event = int(events[number])
        if several == 1:
            boxes.append(_box(trace, event, texts))
        else:
            boxes.append(_block(trace, events[number : number + several]))
    return boxes


def _box(trace: Trace, event: int, texts: _Texts) -> Box:
    return (
        int(trace.start[event]) / 1000,
        int(trace.duration[event]) / 1000,
        texts.number(trace.names, int(trace.name[event])),
        int(trace.category[event]),
        int(trace.own[event]) / 1000,
        texts.number(trace.shapes, int(trace.shape[event])),
        texts.number(trace.layers, int(trace.layer[event])),
        1,
    )


def _block(trace: Trace, events: Array) -> Box:
    """Several events as one box, in the colour of what took most of their time."""
    start, last = int(trace.start[events[0]]), events[-1]
    end = int(trace.start[last] + trace.duration[last])
    spent = np.bincount(trace.category[events], weights=trace.duration[events], minlength=len(Category))
    own = int(trace.own[events].sum())
    kind = int(spent.argmax())
    return (start / 1000, (end - start) / 1000, NONE, kind, own / 1000, NONE, NONE, len(events))
