"""Whose logs a log folder holds. Traces have the same names in every run: only this tells them apart."""

from __future__ import annotations

from pathlib import Path

from densebench import files

OWNER = "run.densebench"  # in the log folder: when the run began, as in its journal


def claim(log_dir: Path, run: str) -> None:
    """Say that the logs there are this run's; the folder is made if it is missing.

    Args:
        log_dir: the log folder.
        run: when the run began, as its journal's header has it.

    """
    log_dir.mkdir(parents=True, exist_ok=True)
    files.write_text(log_dir / OWNER, f"{run}\n")


def owner(log_dir: Path) -> str:
    """The run whose logs are there, as far as is known; empty where none has claimed the folder."""
    try:
        return (log_dir / OWNER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
