"""The memory allocator of the measuring process: tuned glibc, jemalloc or tcmalloc. The model stays as it is.

A framework that allocates each activation anew asks the kernel for fresh pages at every inference, and pays for
their first touch, unless the allocator keeps them. Source: glibc manual, "Malloc Tunable Parameters".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from densebench.errors import Unavailable
from densebench.machine import KEEP_FREED_MEMORY
from densebench.techniques.base import Options, Technique, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["glibc", "jemalloc", "tcmalloc"]
PACKAGES = {"jemalloc": "libjemalloc2", "tcmalloc": "libtcmalloc-minimal4"}
LIBRARIES = {"jemalloc": ("jemalloc",), "tcmalloc": ("tcmalloc_minimal", "tcmalloc")}


class AllocatorOptions(Options):
    """Which allocator."""

    kind: Kind = "glibc"


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
    return {"LD_PRELOAD": found}


def refuses_with(options: Mapping[str, Any]) -> Mapping[str, str]:
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
    caveat="The allocator's variables must be set where the deployed process starts: see the artifact's README.",
)
