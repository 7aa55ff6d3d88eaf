"""The memory allocator of the measuring process: tuned glibc, jemalloc or tcmalloc. The model stays as it is.

A framework that allocates each activation anew asks the kernel for fresh pages at every inference, and pays for
their first touch, unless the allocator keeps them. Source: glibc manual, "Malloc Tunable Parameters".
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from densebench.errors import Unavailable
from densebench.machine.facts import KEEP_FREED_MEMORY, read
from densebench.schema import Caveat, Effect
from densebench.techniques.base import Option, Options, Technique, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["glibc", "jemalloc", "tcmalloc"]
PACKAGES = {"jemalloc": "libjemalloc2", "tcmalloc": "libtcmalloc-minimal4"}
PRELOAD = "LD_PRELOAD"
MAPS = Path("/proc/self/maps")
LIBRARIES = {"jemalloc": ("jemalloc",), "tcmalloc": ("tcmalloc_minimal", "tcmalloc")}


class AllocatorOptions(Options):
    """Which allocator."""

    kind: Annotated[Kind, Option(("glibc", "jemalloc", "tcmalloc"), 0.0)] = "glibc"


def environment(*, kind: Kind = "glibc") -> Mapping[str, str]:
    """The variables that a process starts with.

    Raises:
        Unavailable: the library isn't installed; the message names its package.

    """
    if kind == "glibc":
        return KEEP_FREED_MEMORY
    from ctypes.util import find_library

    found = next(filter(None, map(find_library, LIBRARIES[kind])), None)
    if found is None:
        raise Unavailable(f"{kind} isn't installed: apt install {PACKAGES[kind]}")
    return {PRELOAD: found}


class _HeapInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later: ten sizes, of which the fourth counts blocks by mmap."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 6),
    )


def _memory_is_kept(threshold: str) -> Effect:  # noqa: ARG001 - that it is set is known
    """Whether large blocks come from the heap, which keeps what is freed, and not each from the kernel."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return Effect(seen=("glibc keeps freed memory (not verified: this C library has no mallinfo2)",))
    mallinfo2.restype = _HeapInfo
    return Effect(seen=(f"glibc keeps freed memory: {mallinfo2().hblks} blocks are mappings of their own",))


def _is_loaded(library: str) -> Effect:
    """Whether the process has the library in its memory."""
    if Path(library).name in read(MAPS):
        return Effect(seen=(f"{library} is loaded",))
    return Effect(none_because=f"{library} was not loaded")


def refuses_with(options: Mapping[str, object]) -> Mapping[str, str]:
    """Only glibc reads its tunables: in another allocator they would do nothing, and look as if they did."""
    if (kind := options["kind"]) == "glibc":
        return {}
    return {
        "glibc_tunable": f"glibc's tunables do nothing in {kind}: write allocator without kind={kind}, or keep one"
    }


TECHNIQUE = Technique(
    "allocator",
    "memory allocator of the process: glibc that keeps freed memory, jemalloc or tcmalloc",
    unchanged,
    changes="allocator",
    options=AllocatorOptions,
    refuses_with=refuses_with,
    environment=environment,
    observed={"MALLOC_MMAP_THRESHOLD_": _memory_is_kept, PRELOAD: _is_loaded},
    caveat=Caveat(
        text="The allocator's variables must be set where the deployed process starts: see the artifact's README.",
    ),
)
