"""The folders that a run writes to: whether it can, and what an earlier run left there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from densebench.errors import DensebenchError, InputError
from densebench.sinks import journal

PREVIOUS = "previous"


@contextmanager
def disk_explained(folder: Path) -> Iterator[None]:
    """What the system says when a file can't be written, as one line that says what to do."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename2 or error.filename}" if error.filename else ""
        raise DensebenchError(
            f"{folder} can't be written ({error.strerror}{where}): the rows so far are kept; make room, "
            "then go on with --resume"
        ) from error


def set_aside(output_dir: Path, log_dir: Path) -> None:
    """Move what an earlier run left in the two folders into `previous/<time>/` of the output folder."""
    left = [path for path in output_dir.iterdir() if path.name != PREVIOUS] if output_dir.exists() else []
    if not any(path.name == journal.FILE_NAME for path in left):
        return
    aside = output_dir / PREVIOUS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside.mkdir(parents=True)
    if log_dir.exists() and not log_dir.is_relative_to(output_dir):
        shutil.move(log_dir, aside / "tensorboard")
    for path in left:
        shutil.move(path, aside / path.name)


def check_writable(folder: Path) -> None:
    """Refuse a folder that can't be written to, before anything is done.

    Raises:
        InputError: with what to change.

    """
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir():
        raise InputError(f"{folder} can't be written: {nearest} is no folder; name another folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}): name another folder") from None
