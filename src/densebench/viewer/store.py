"""Parsed traces, kept: a few in memory, more of them as files, so that a trace is parsed once."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from densebench.machine.facts import MB
from densebench.viewer.finding import Found
from densebench.viewer.parsing import parse
from densebench.viewer.trace import Trace

FORMAT = 1  # raise it when `Trace` or what `parse` puts into it changes
IN_MEMORY = 256 * MB
ON_DISK = 512 * MB


def folder() -> Path | None:
    """Below densebench's cache folder (`$DENSEBENCH_CACHE`); None where there is no home."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(os.environ.get("DENSEBENCH_CACHE") or Path(cache) / "densebench") / "profiles"


class Store:
    """Traces by file; one whose size or time of change is another is parsed again."""

    def __init__(self, disk: Path | None, in_memory: int = IN_MEMORY, on_disk: int = ON_DISK) -> None:
        self._disk, self._in_memory, self._on_disk = disk, in_memory, on_disk
        self._kept: OrderedDict[str, Trace] = OrderedDict()
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}

    def get(self, found: Found) -> Trace:
        """The trace: from memory, from the cache folder, or parsed.

        Raises:
            NoTrace: the file holds no event.
            OSError: it can't be read.

        """
        key = hashlib.sha256(
            f"{FORMAT}|{found.path.resolve()}|{found.bytes}|{found.changed_ns}".encode()
        ).hexdigest()
        with self._lock:
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:  # of two requests at once, one parses and the other waits for it
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            trace = self._from_disk(key)
            if trace is None:
                trace = parse(found.path)
                self._to_disk(key, trace)
        with self._lock:
            self._kept[key] = trace
            while len(self._kept) > 1 and sum(one.bytes for one in self._kept.values()) > self._in_memory:
                gone, _ = self._kept.popitem(last=False)
                self._busy.pop(gone, None)
        return trace

    def _from_disk(self, key: str) -> Trace | None:
        path = self._file(key)
        if path is None or not path.exists():
            return None
        try:
            trace = Trace.load(path)
            os.utime(path)  # used now: the last to be thrown away
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            with suppress(OSError):
                path.unlink()
            return None
        return trace

    def _to_disk(self, key: str, trace: Trace) -> None:
        """Keep it as a file, unless the folder can't be written: then it is parsed again another time."""
        path = self._file(key)
        if path is None or trace.bytes > self._on_disk:
            return
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            trace.save(part)
            part.replace(path)
            self._trim(path.parent)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _trim(self, kept: Path) -> None:
        """Throw away what was not used for the longest time, until the rest fits."""
        sizes = {path: path.stat() for path in kept.glob("*.npz")}
        total = sum(seen.st_size for seen in sizes.values())
        for path in sorted(sizes, key=lambda path: sizes[path].st_mtime_ns):
            if total <= self._on_disk:
                break
            path.unlink(missing_ok=True)
            total -= sizes[path].st_size

    def _file(self, key: str) -> Path | None:
        return self._disk and self._disk / f"{key}.npz"
