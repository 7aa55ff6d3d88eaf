"""Transparent huge pages for the heap, asked of glibc: fewer page faults and address translations.

Source: glibc manual, "Memory Allocation Tunables", `glibc.malloc.hugetlb`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densebench.machine.facts import MB, read
from densebench.schema import Caveat, Effect
from densebench.techniques.base import Technique, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping

TUNABLES = "GLIBC_TUNABLES"
MEMORY = Path("/proc/self/smaps_rollup")
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def environment() -> Mapping[str, str]:
    """The variable that a process starts with: `malloc` advises the kernel to use huge pages."""
    return {TUNABLES: "glibc.malloc.hugetlb=1"}


def unavailable(device: str) -> str | None:  # noqa: ARG001
    """The kernel must give huge pages to those that ask, and to nobody else.

    Where every process has them, glibc doesn't ask, and the pages that a process is seen to have prove nothing.
    """
    try:
        setting = SETTING.read_text(encoding="ascii")
    except OSError:
        return "this kernel has no transparent huge pages"
    if "[never]" in setting:
        return f"transparent huge pages are off: echo madvise > {SETTING}"
    if "[always]" in setting:
        return f"every process has transparent huge pages here, the baseline too: echo madvise > {SETTING}"
    return None


def _given(tunables: str) -> Effect:  # noqa: ARG001 - that they are set is known
    """How much of the process's memory is in huge pages."""
    lines = (line.split() for line in read(MEMORY).splitlines())
    kib = next((int(words[1]) for words in lines if words[0] == "AnonHugePages:"), 0)
    if not kib:
        return Effect(none_because="the kernel gave no huge page")
    return Effect(seen=(f"{kib * 1024 / MB:.0f} MB in huge pages",))


TECHNIQUE = Technique(
    "huge_pages",
    "transparent huge pages for the heap, through GLIBC_TUNABLES",
    unchanged,
    changes="pages",
    gives=frozenset({"glibc_tunable"}),
    environment=environment,
    observed={TUNABLES: _given},
    unavailable=unavailable,
    caveat=Caveat(
        text=f"{TUNABLES} must be set where the deployed process starts: see the artifact's README."
    ),
)
