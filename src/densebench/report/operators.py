"""Where the time goes: a profiler trace, summed to self time by operator and by kind of operator.

The file is read event by event, so that memory follows the number of operators and not the file's size, and a
file that was cut short tells what it still holds.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

Kind = Literal["convolution", "normalization", "concatenation", "copies", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OUTSIDE = "(between operators)"

_KIND_OF: tuple[tuple[Kind, re.Pattern[str]], ...] = (  # by name, the first that fits
    ("convolution", re.compile(r"conv(?!ert)", re.IGNORECASE)),
    ("normalization", re.compile(r"norm|(^|::)lrn", re.IGNORECASE)),
    ("concatenation", re.compile(r"concat|(^|::|_)cat(_|$)|CatArray", re.IGNORECASE)),
    (
        "copies",  # of layout and of precision too
        re.compile(
            r"cop(y|ies)|clone|contiguous|convert|cast|reorder|transpose|permute|memcpy|quantiz"
            r"|(^|::)_?to($|_)",
            re.IGNORECASE,
        ),
    ),
)
_STEP = "ProfilerStep#"
_ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}
_ON_HOST = {"cpu_op", "layer"}
_CHUNK = 1 << 20  # characters


@dataclass(frozen=True)
class Operators:
    """Self time of one inference in ms, by kind and by operator. `whole` is false for a file cut short."""

    by_kind: Mapping[Kind, float]
    by_operator: Mapping[str, float]
    whole: bool = True


@dataclass
class _Event:
    name: str
    start: float  # microseconds, as all times of a trace
    duration: float
    lane: tuple[object, object]
    link: object  # between a kernel and the operator that launched it
    layer: object


def kind_of(operator: str) -> Kind:
    """The kind of an operator, by the name that its framework gives it."""
    return next((kind for kind, pattern in _KIND_OF if pattern.search(operator)), "other")


def read_operators(path: Path) -> Operators | None:
    """Sum a Chrome trace; None if it can't be read or holds no operator."""
    host: list[_Event] = []
    device: list[_Event] = []
    steps: list[_Event] = []
    whole = True
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for event in read_events(file):
                if event is None:
                    whole = False
                    continue
                category, found = event.get("cat"), _timed(event)
                if found is None:
                    continue
                if category in _ON_DEVICE:
                    device.append(found)
                elif category in _ON_HOST:
                    host.append(found)
                elif category == "user_annotation" and found.name.startswith(_STEP):
                    steps.append(found)
    except OSError:
        return None
    if not (host or device):
        return None
    times = _on_device(device, host) if device else _self_times([*host, *steps])
    runs = len(steps) or _repeats(device or host)
    by_operator: dict[str, float] = defaultdict(float)
    by_kind: dict[Kind, float] = defaultdict(float)
    for name, kind, microseconds in times:
        by_operator[name] += microseconds / 1000 / runs
        by_kind[kind] += microseconds / 1000 / runs
    return Operators({kind: by_kind[kind] for kind in KINDS}, dict(by_operator), whole)


def read_events(file: TextIO) -> Iterator[dict[str, Any] | None]:
    """The events of a trace, one after the other; None at last if the file ends inside them."""
    decoder = json.JSONDecoder()
    text, at = _opened(file)
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at < len(text) and text[at] == "]":
            return
        try:
            event, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            more = file.read(_CHUNK)
            if not more:
                yield None
                return
            text, at = text[at:] + more, 0
        else:
            if isinstance(event, dict):
                yield event


def _opened(file: TextIO) -> tuple[str, int]:
    """The text read so far and the place behind the events' opening bracket."""
    text = file.read(_CHUNK)
    if text.lstrip().startswith("["):  # the format's other form: nothing but the events
        return text, text.index("[") + 1
    while True:
        found = re.search(r'"traceEvents"\s*:\s*\[', text)
        if found:
            return text, found.end()
        more = file.read(_CHUNK)
        if not more:
            return "", 0
        text = text[-40:] + more


def _timed(event: Mapping[str, Any]) -> _Event | None:
    name, start, duration = event.get("name"), event.get("ts"), event.get("dur")
    if event.get("ph") != "X" or not isinstance(start, int | float) or not isinstance(duration, int | float):
        return None
    known = event.get("args")
    args = known if isinstance(known, dict) else {}
    lane = (event.get("pid"), event.get("tid"))
    return _Event(str(name), start, duration, lane, args.get("External id"), str(args.get("layer", "")))


def _self_times(events: Iterable[_Event]) -> Iterator[tuple[str, Kind, float]]:
    """Each event's time without that of the events inside it, on the same thread.

    What has no kind of its own (an allocation, a view) counts for the operator that it works for.
    """
    lanes: dict[tuple[object, object], list[_Event]] = defaultdict(list)
    for event in events:
        lanes[event.lane].append(event)
    for lane in lanes.values():
        lane.sort(key=lambda event: (event.start, -event.duration))
        inside: list[float] = [0.0] * len(lane)
        kinds: list[Kind] = []
        open_now: list[int] = []
        for index, event in enumerate(lane):
            while open_now and event.start >= lane[open_now[-1]].start + lane[open_now[-1]].duration:
                open_now.pop()
            own = kind_of(event.name)
            if open_now:
                inside[open_now[-1]] += event.duration
                own = kinds[open_now[-1]] if own == "other" else own
            kinds.append(own)
            open_now.append(index)
        for event, kind, within in zip(lane, kinds, inside, strict=True):
            name = OUTSIDE if event.name.startswith(_STEP) else event.name
            yield name, kind, max(0.0, event.duration - within)


def _on_device(device: Iterable[_Event], host: Iterable[_Event]) -> Iterator[tuple[str, Kind, float]]:
    """A kernel's time counts for the operator that launched it; the host's own time is not the model's."""
    launched = {event.link: event.name for event in host if event.link is not None}
    for event in device:
        name = launched.get(event.link, event.name)
        kind = kind_of(name)
        yield name, kind if kind != "other" else kind_of(event.name), event.duration


def _repeats(events: list[_Event]) -> int:
    """How many inferences a trace without marked steps holds: as often as its first layer is seen."""
    first = events[0]
    return (
        sum((event.name, event.layer) == (first.name, first.layer) for event in events) if first.layer else 1
    )
