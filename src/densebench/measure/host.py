"""Whether settings of the process itself took hold: its allocator, its pages, its threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

from densebench.machine import MB

_MAPS = Path("/proc/self/maps")
_MEMORY = Path("/proc/self/smaps_rollup")


class _HeapInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later: ten sizes, of which the fourth counts blocks by mmap."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 6),
    )


def host_effect(settings: Mapping[str, str | int]) -> list[str]:
    """What is seen in this process of the variables among an artifact's host settings, after an inference."""
    said: list[str] = []
    for name, value in settings.items():
        if not name.isupper():
            continue
        if os.environ.get(name) != str(value):
            said.append(f"none: {name}={value} is not set in this process")
        elif name == "LD_PRELOAD":
            loaded = Path(str(value)).name in _read(_MAPS)
            said.append(f"{value} is loaded" if loaded else f"none: {value} was not loaded")
        elif name == "GLIBC_TUNABLES":
            huge_mb = _huge_pages_kb() * 1024 / MB
            said.append(
                f"{huge_mb:.0f} MB in huge pages" if huge_mb else "none: the kernel gave no huge page"
            )
        elif name == "MALLOC_MMAP_THRESHOLD_":
            said.append(_blocks())
        elif name == "OMP_NUM_THREADS":
            import torch

            said.append(f"{torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1))
    return said


def _blocks() -> str:
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return "glibc keeps freed memory (not verified: this C library has no mallinfo2)"
    mallinfo2.restype = _HeapInfo
    return f"glibc keeps freed memory: {mallinfo2().hblks} blocks are mappings of their own"


def _huge_pages_kb() -> int:
    lines = (line.split() for line in _read(_MEMORY).splitlines())
    return next((int(words[1]) for words in lines if words[0] == "AnonHugePages:"), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
