"""Transparent huge pages for the heap, asked of glibc: fewer page faults and address translations.

Source: glibc manual, "Memory Allocation Tunables", `glibc.malloc.hugetlb`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densebench.techniques.base import Technique, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def environment() -> Mapping[str, str]:
    """The variable that a process starts with: `malloc` advises the kernel to use huge pages."""
    return {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def unavailable(device: str) -> str | None:  # noqa: ARG001
    """The kernel must allow transparent huge pages."""
    try:
        setting = SETTING.read_text(encoding="ascii")
    except OSError:
        return "this kernel has no transparent huge pages"
    return f"transparent huge pages are off: echo madvise > {SETTING}" if "[never]" in setting else None


TECHNIQUE = Technique(
    "huge_pages",
    "transparent huge pages for the heap, through GLIBC_TUNABLES",
    unchanged,
    changes="pages",
    environment=environment,
    unavailable=unavailable,
    caveat="GLIBC_TUNABLES must be set where the deployed process starts: see the artifact's README.",
)
