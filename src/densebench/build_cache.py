"""What several builds of a sweep need is made by the first; each counts its seconds, where they are known.

`onnx` and `onnx_int8` begin with the same export, `structured_pruning` and the stacks on it with the same minutes of
training. What the first build made stays beside the sweep's other temporary files; outside a sweep nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# names a sweep's own folder of temporary files, which fork servers remove should the parent be killed
SCRATCH = "DENSEBENCH_SCRATCH"
FILE, SECONDS = "file", "seconds.json"


@dataclass(frozen=True)
class Kept:
    """Files that an earlier build of the sweep left, and the seconds that they took it."""

    folder: Path
    seconds: float


def recall(what: object) -> Kept | None:
    """What an earlier build kept under this name.

    Args:
        what: all that the files depend on, as JSON.

    """
    place = _place(what)
    if place is None or not place.exists():
        return None
    return Kept(place, float(json.loads((place / SECONDS).read_text(encoding="utf-8"))))


def keep(what: object, seconds: float, fill: Callable[[Path], None]) -> None:
    """Let `fill` write files into a folder for later builds, whole or not at all, in place of any that are there."""
    place = _place(what)
    if place is None:
        return
    part = place.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a build that was killed
    part.mkdir()
    fill(part)
    (part / SECONDS).write_text(json.dumps(seconds), encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    part.rename(place)


def once(what: object, path: Path, make: Callable[[Path], None]) -> float:
    """Have `make` write the file at `path`, or copy it from an earlier build that made the same.

    A file that gets parts beside it is not kept: it would be read without them elsewhere.

    Args:
        what: all that the file depends on, as JSON.
        path: the file to write.
        make: writes it.

    Returns:
        The seconds that making it took the earlier build; 0 where it was made now.

    """
    if (found := recall(what)) is not None:
        shutil.copyfile(found.folder / FILE, path)
        return found.seconds
    there, started = {*path.parent.iterdir()}, time.perf_counter()
    make(path)
    seconds = time.perf_counter() - started
    if {*path.parent.iterdir()} - there == {path}:
        keep(what, seconds, partial(_copy, path))
    return 0.0


def _copy(path: Path, folder: Path) -> None:
    shutil.copyfile(path, folder / FILE)


def _place(what: object) -> Path | None:
    scratch = os.environ.get(SCRATCH)
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    return Path(scratch) / f"once-{key}" if scratch else None
