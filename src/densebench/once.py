"""A file that several builds of a sweep need is made by the first of them.

`onnx` and `onnx_int8` begin with the same export: the second build takes up the file that the first one left beside
the sweep's other temporary files, and counts its seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from densebench.machine import SCRATCH

FILE, SECONDS = "file", "seconds.json"


def once(what: object, path: Path, make: Callable[[Path], None]) -> float:
    """Have `make` write the file at `path`, or copy it from an earlier build that made the same.

    Outside a sweep there is no folder to keep it in, and it is always made. So is one with parts beside it.

    Args:
        what: all that the file depends on, as JSON.
        path: the file to write.
        make: writes it.

    Returns:
        The seconds that making it took the earlier build; 0 where it was made now.

    """
    scratch = os.environ.get(SCRATCH)
    if not scratch:
        make(path)
        return 0.0
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    kept = Path(scratch) / f"once-{key}"
    if (kept / SECONDS).exists():
        shutil.copyfile(kept / FILE, path)
        return float(json.loads((kept / SECONDS).read_text(encoding="utf-8")))
    there, started = {*path.parent.iterdir()}, time.perf_counter()
    make(path)
    seconds = time.perf_counter() - started
    if {*path.parent.iterdir()} - there == {path}:
        kept.mkdir(exist_ok=True)
        shutil.copyfile(path, kept / FILE)
        (kept / SECONDS).write_text(
            json.dumps(seconds), encoding="utf-8"
        )  # last: without it nothing was kept
    return 0.0
