"""How long the profile viewer takes for a large trace, asked over HTTP as the page asks.

A trace in the layout of PyTorch's profiler is generated with nested calls, input shapes and memory events. A
server of its own is started for it with an empty cache folder: the first view includes reading the whole file,
the second finds it in memory. A second server finds what the first one kept on disk. What is promised: for 100
MB a first view in under 10 s and a second one in under 1 s.

    python benchmarks/viewer.py --size 100
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

MB = 1_000_000
LAYERS = (
    ("conv2d", "convolution", "_convolution", "mkldnn_convolution"),
    ("batch_norm", "native_batch_norm"),
    ("cat",),
)
PATIENCE_S = 120.0
EVENT = """
  {{
    "ph": "X", "cat": "cpu_op", "name": "aten::{name}", "pid": 1, "tid": 1,
    "ts": {ts:.3f}, "dur": {dur:.3f}
    ,
    "args": {{
      "External id": {number},"Record function id": 0, "Concrete Inputs": ["", "", "", "[2, 2]", "[3, 3]", "1"], \
"Input type": ["float", "float", "", "ScalarList", "ScalarList", "Scalar"], "Input Strides": [[3072, 1024, 32, 1], \
[147, 49, 7, 1], [], [], [], []], "Input Dims": [[8, {channels}, 32, 32], [64, {channels}, 7, 7], [], [], [], []], \
"Ev Idx": {number}
    }}
  }},"""
MEMORY = """
  {{
    "ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]",
    "pid": 1, "tid": 1,
    "ts": {ts:.3f},
    "args": {{
      "Total Reserved": 0, "Total Allocated": {total}, "Bytes": {change}, "Device Id": -1, "Device Type": 0
    }}
  }},"""


def write_trace(path: Path, size_mb: float) -> int:
    """Write a trace of about this size; return its number of events."""
    number, ts, total = 0, 1e9, 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"schemaVersion": 1, "deviceProperties": [], "traceEvents": [')
        while file.tell() < size_mb * MB:
            for layer in LAYERS:
                for depth, name in enumerate(layer):
                    number += 1
                    spot = {"ts": ts + depth, "dur": 100.0 - 2 * depth, "channels": number % 40}
                    file.write(EVENT.format(name=name, number=number, **spot))
                change = 4096 if total < 40 * 4096 else -total
                total += change
                file.write(MEMORY.format(ts=ts + 50, total=total, change=change))
                number += 1
                ts += 101.0
        step = {"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#0", "pid": 1, "tid": 1}
        file.write(json.dumps({**step, "ts": 1e9 - 1, "dur": ts - 1e9 + 2}) + "]}")
    return number


@contextmanager
def server(log_dir: Path, cache: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A viewer of its own: its address, once it answers, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "densebench.viewer.board", "profiles", "--host", "127.0.0.1"]
    command += ["--log-dir", str(log_dir), "--port", str(port)]
    environment = os.environ | {"DENSEBENCH_CACHE": str(cache)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **pipes) as process:  # type: ignore[call-overload]
        base = f"http://127.0.0.1:{port}/data/plugin/pytorch_profiler"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                ask(base, "traces")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield base, psutil.Process(process.pid)
        process.terminate()


def ask(base: str, route: str, **parameters: object) -> tuple[float, Any]:
    """Seconds until the whole answer is there, and the answer."""
    started = time.perf_counter()
    with urllib.request.urlopen(f"{base}/{route}?{urllib.parse.urlencode(parameters)}") as answer:
        content = json.load(answer)
    return time.perf_counter() - started, content


def peak_mb(process: psutil.Process) -> float:
    """The most memory that the process had, from the kernel's own count."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024 / MB


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=100.0, help="the trace's size, MB")
    size_mb = parser.parse_args().size
    table = Table(title=f"a trace of {size_mb:g} MB", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    with tempfile.TemporaryDirectory(prefix="densebench-viewer-") as folder:
        path = Path(folder) / "logs" / "profile" / "generated" / "bs8.pt.trace.json"
        path.parent.mkdir(parents=True)
        table.add_row("events", str(write_trace(path, size_mb)))
        trace = "profile/generated/bs8.pt.trace.json"
        with server(Path(folder) / "logs", Path(folder) / "cache") as (base, process):
            before = peak_mb(process)
            first, seen = ask(base, "overview", trace=trace)
            table.add_row("first view (overview), s", f"{first:.2f}")
            table.add_row("second view (overview again), s", f"{ask(base, 'overview', trace=trace)[0]:.2f}")
            table.add_row("operators, s", f"{ask(base, 'operators', trace=trace)[0]:.2f}")
            table.add_row("memory, s", f"{ask(base, 'memory', trace=trace)[0]:.2f}")
            table.add_row("timeline, whole, s", f"{ask(base, 'timeline', trace=trace, width=1200)[0]:.2f}")
            end = 1000 * seen["step_ms"]
            window = {"start": end * 0.5, "end": end * 0.5001, "width": 1200}
            table.add_row("timeline, a window, s", f"{ask(base, 'timeline', trace=trace, **window)[0]:.2f}")
            table.add_row("comparison, s", f"{ask(base, 'comparison', a=trace, b=trace)[0]:.2f}")
            table.add_row("server's memory before, MB", f"{before:.0f}")
            table.add_row("server's memory at most, MB", f"{peak_mb(process):.0f}")
        with server(Path(folder) / "logs", Path(folder) / "cache") as (base, _):
            table.add_row("first view of a new server, s", f"{ask(base, 'overview', trace=trace)[0]:.2f}")
        kept = sum(one.stat().st_size for one in (Path(folder) / "cache").rglob("*.npz"))
        table.add_row("kept on disk, MB", f"{kept / MB:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
