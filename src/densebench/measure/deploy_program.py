"""A program of the artifact's user: it runs the code of the README in the working folder, without densebench.

`deploy.py` starts this file as `python -I`, so nothing here imports the package. Each message is one JSON object on
a line of its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

LEAST_CALLS = 3
WARM_UP = 2  # calls after the first one: some engines go on optimizing in them
SEED = 0


def run(parent: socket.socket, started: float, batch_size: int, seconds: float) -> None:
    """Send the time of the first answer, then the throughput and the peak memory."""
    import numpy as np

    shape = json.loads(Path("manifest.json").read_bytes())["input"]["shape"][1:]
    images = np.random.default_rng(SEED).standard_normal((batch_size, *shape), dtype=np.float32)
    readme = Path("README.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE))
    names: dict[str, Any] = {"__name__": "__main__", "images": images}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - the code that is measured
    if not {"infer", "logits"} <= names.keys():
        raise LookupError("the README's code defines no infer or no logits")
    send(parent, deploy_start_s=time.monotonic() - started)
    throughput = _throughput(names["infer"], images, seconds)
    send(parent, deploy_throughput_samples_per_s=throughput, deploy_memory_mb=_peak_memory_mb())


def _throughput(infer: Any, images: Any, seconds: float) -> float:
    """Images a second over so many seconds of calls after the warm-up."""
    for _ in range(WARM_UP):
        infer(images)
    calls, begun = 0, time.perf_counter()
    while calls < LEAST_CALLS or time.perf_counter() - begun < seconds:
        infer(images)
        calls += 1
    return calls * len(images) / (time.perf_counter() - begun)


def _peak_memory_mb() -> float | None:
    """Peak resident memory of this process. `ru_maxrss` would begin at the peak of the parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def send(parent: socket.socket, **facts: float | str | None) -> None:
    """Send one message."""
    parent.sendall(json.dumps(facts).encode() + b"\n")


def _end_with(parent: socket.socket) -> None:
    """Wait until the parent has closed its end; then kill this process and all that the code has started."""
    parent.recv(1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the code with what the command line says."""
    sys.modules["densebench"] = None  # type: ignore[assignment]  # Python's own mark of what can't be imported
    started, batch_size, seconds, descriptor = sys.argv[1:]
    parent = socket.socket(fileno=int(descriptor))
    parent.set_inheritable(False)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        run(parent, float(started), int(batch_size), float(seconds))
    except BaseException as error:  # noqa: BLE001 - the parent is told of anything
        traceback.print_exc()  # before the message: the parent kills this process when it has the message
        send(parent, deploy_reason=f"{type(error).__name__}: {str(error)[:1000]}".rstrip(": "))


if __name__ == "__main__":
    main()
