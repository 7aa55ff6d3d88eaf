"""Traces made by hand, in the layouts in which PyTorch's profiler and other engines' write them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from densebench.viewer.parsing import parse
from densebench.viewer.trace import Trace

Event = dict[str, Any]
BASE_US = 4459555746650.641  # the clock of a machine that has run for weeks
CONVOLUTION = ("aten::conv2d", "aten::convolution", "aten::_convolution", "aten::mkldnn_convolution")
NORM = ("aten::batch_norm", "aten::_batch_norm_impl_index", "aten::native_batch_norm")


def call(name: str, ts: float, dur: float, lane: int = 7, **more: Any) -> Event:
    """A complete event; `ts` in microseconds from the trace's first moment."""
    args = more.pop("args", {})
    event = {"ph": "X", "cat": "cpu_op", "name": name, "pid": 7, "tid": lane, "ts": BASE_US + ts, "dur": dur}
    return {**event, **more, "args": args}


def step(number: int, ts: float, dur: float) -> Event:
    """The profiler's mark around a step."""
    return call(f"ProfilerStep#{number}", ts, dur, cat="user_annotation")


def allocation(ts: float, change: int, total: int, **args: Any) -> Event:
    """A `[memory]` event."""
    given = {
        "Total Allocated": total,
        "Total Reserved": 0,
        "Bytes": change,
        "Device Type": 0,
        "Device Id": -1,
    }
    event = {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 7, "tid": 7}
    return {**event, "ts": BASE_US + ts, "args": {**given, **args}}


def nested(names: Iterable[str], ts: float, dur: float, shape: list[list[int]]) -> list[Event]:
    """Calls inside each other, each a microsecond shorter on both sides; the sizes of their inputs."""
    args = {"Input Dims": shape, "Concrete Inputs": ["", "[2, 2]"], "Input type": ["float", ""]}
    return [call(name, ts + i, dur - 2 * i, args=args) for i, name in enumerate(names)]


def network(
    convolution_us: float = 300.0, norm_us: float = 60.0, blocks: int = 4, steps: int = 3
) -> list[Event]:
    """Steps of a small DenseNet: convolutions, batch norms, ReLUs and concatenations, with allocations."""
    events: list[Event] = []
    start = 0.0
    for number in range(steps):
        at, more = start + 10.0, 2.0 * number  # no two steps take the same time
        held = 0
        for block in range(blocks):
            shape = [[8, 16 * (block + 1), 16, 16], [32, 16 * (block + 1), 3, 3]]
            events += nested(CONVOLUTION, at, convolution_us + more, shape)
            held += 1 << 20
            events.append(allocation(at + 5.0, 1 << 20, held))
            at += convolution_us + more + 1.0
            if norm_us:
                events += nested(NORM, at, norm_us + more, shape[:1])
                at += norm_us + more + 1.0
                events.append(call("aten::relu_", at, 12.0))
                at += 13.0
            events += nested(("aten::cat",), at, 30.0, [shape[0], shape[0]])
            at += 40.0
        events.append(allocation(at, -held, 0))
        events.append(step(number, start, at + 5.0 - start))
        start = at + 15.0
    return events


def layers(steps: int = 3) -> list[Event]:
    """What an engine's own profiler gives: layers end to end, no marks, no shapes, no memory."""
    events, at = [], 0.0
    for _ in range(steps):
        for name, layer, dur in (("Conv", "conv0", 200.0), ("Concat", "cat0", 20.0), ("Reorder", "r0", 10.0)):
            event = call(name, at, dur, cat="layer", args={"layer": layer})
            events.append(event | {"ts": at, "pid": 0, "tid": 0})
            at += dur
    return events


def on_gpu() -> list[Event]:
    """Two steps whose kernels run on a stream, behind the calls that launch them."""
    events: list[Event] = []
    for number, start in enumerate((0.0, 1000.0)):
        launched = 10 * number
        events += [
            step(number, start, 200.0),
            call("aten::conv2d", start + 10, 60, args={"External id": launched + 1}),
            call("aten::cudnn_convolution", start + 15, 50, args={"External id": launched + 2}),
            call("cudaLaunchKernel", start + 20, 5, cat="cuda_runtime", args={"External id": launched + 2}),
            call("aten::cat", start + 100, 20, args={"External id": launched + 3}),
            gpu("ampere_sgemm_128x64_nn", start + 150, 500, launched + 2),
            gpu("void at::native::CatArrayBatchedCopy<float>", start + 660, 100, launched + 3),
            gpu(f"ProfilerStep#{number}", start + 150, 610, 0, cat="gpu_user_annotation"),
        ]
    return events


def gpu(name: str, ts: float, dur: float, launch: int, cat: str = "kernel") -> Event:
    """A kernel on stream 7 of the GPU."""
    return call(name, ts, dur, cat=cat, pid=0, tid=7, args={"External id": launch, "stream": 7})


def document(events: list[Event], **more: Any) -> str:
    """The file's text, laid out like PyTorch's."""
    head = {"schemaVersion": 1, "deviceProperties": [], "displayTimeUnit": "ms"}
    content = {**head, "traceEvents": events, "traceName": "a/trace.json", **more}
    return json.dumps(content, indent=1)


def write(path: Path, events: list[Event], text: str | None = None) -> Path:
    """The trace as a file, compressed if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = (document(events) if text is None else text).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def parsed(folder: Path, events: list[Event]) -> Trace:
    """The events as a trace, by way of a file."""
    return parse(write(folder / "bs1.pt.trace.json", events))


def log_folder(folder: Path, recipes: Mapping[str, list[Event]], batch: int = 8) -> Path:
    """A run's log folder with the profile of each recipe."""
    for recipe, events in recipes.items():
        write(folder / "profile" / recipe / f"bs{batch}.pt.trace.json", events)
    return folder
