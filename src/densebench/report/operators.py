"""Where the time goes: a profiler trace, summed to self time by kind of operator and by operator.

It is read as the profile viewer reads it, so that the report and the viewer say the same of one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from densebench.viewer.categories import Category
from densebench.viewer.parsing import parse
from densebench.viewer.reading import NoTrace
from densebench.viewer.views import operators, splits

KINDS: Mapping[Category, str] = {
    Category.CONVOLUTION: "convolution",
    Category.NORMALIZATION: "normalization",
    Category.CONCATENATION: "concatenation",
    Category.COPIES: "copies",
    Category.OTHER: "other",
}
OUTSIDE = "(between operators)"


@dataclass(frozen=True)
class Operators:
    """Self time of one inference in ms, by kind and by operator. `whole` is false for a file that is damaged."""

    by_kind: Mapping[str, float]
    by_operator: Mapping[str, float]
    whole: bool = True


def read_operators(path: Path) -> Operators | None:
    """Sum a trace; None if it can't be read or holds no operator.

    Where a device was used, its kernels' time is the model's, and the time that it waited is nobody's. On the
    processor the time between operators counts as other.
    """
    try:
        seen = path.stat()
        return _read(path, seen.st_mtime_ns, seen.st_size)
    except (NoTrace, OSError):
        return None


@lru_cache(maxsize=256)  # a page and a board are made of the same traces
def _read(path: Path, mtime_ns: int, size: int) -> Operators | None:  # noqa: ARG001 - tell one file from the next
    trace = parse(path)
    split = splits(trace)[-1]  # the device's, where there is one
    on_device = split["where"] == "device"
    by_operator = {row["name"]: row["own_ms"] for row in operators(trace) if row["device"] == on_device}
    if not by_operator:
        return None
    spent = {part["category"]: part["ms"] for part in split["parts"]}
    between = spent.pop(Category.OUTSIDE)
    if not on_device:
        spent[Category.OTHER] += between
        by_operator |= {OUTSIDE: between} if between else {}
    return Operators({KINDS[kind]: spent[kind] for kind in KINDS}, by_operator, not trace.notes)
