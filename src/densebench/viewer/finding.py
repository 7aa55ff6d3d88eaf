"""The traces below a log folder, and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".pt.trace.json", ".pt.trace.json.gz")


@dataclass(frozen=True)
class Found:
    """One trace: `id` is its path below the log folder, with `/`."""

    id: str
    recipe: str
    batch: str
    path: Path
    bytes: int
    changed_ns: int


def find(log_dir: Path) -> dict[str, Found]:
    """Every trace below the folder by its id; the baseline first, then by name, small batches first.

    `profile/<recipe>/bs<N>.pt.trace.json` is a recipe at batch N; of any other file the folder names the
    recipe and the file's name stands for the batch. A link that leads out of the folder is left out.
    """
    root = log_dir.resolve()
    found = [one for path in _walk(root) if (one := _found(path, root))]
    return {one.id: one for one in sorted(found, key=_order)}


def any_trace(log_dir: Path) -> bool:
    """Whether there is at least one."""
    return next(_walk(log_dir.resolve()), None) is not None


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _found(path: Path, root: Path) -> Found | None:
    try:
        if not path.resolve(strict=True).is_relative_to(root):
            return None
        seen = path.stat()
    except OSError:  # gone since the walk
        return None
    inside = path.relative_to(root)
    recipe = "/".join(part for part in inside.parent.parts if part != "profile")
    stem = path.name.partition(".pt.trace.json")[0]
    batch = stem[2:] if re.fullmatch(r"bs\d+", stem) else stem
    return Found(inside.as_posix(), recipe or "(no name)", batch, path, seen.st_size, seen.st_mtime_ns)


def _order(one: Found) -> tuple[bool, str, int, str, str]:
    number = int(one.batch) if one.batch.isdecimal() else 0
    return one.recipe != "baseline", one.recipe, number, one.batch, one.id
