"""The folders that a run writes to: whether it can, whose they are, and what an earlier run left there."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from densebench.errors import DensebenchError, InputError
from densebench.sinks import journal

PREVIOUS = "previous"
LOCK = ".lock"
HALF_WRITTEN = (".*.tmp", "models/.*.part-*", "models/.*.old-*")  # by `atomic` and by `artifact.new_folder`


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


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, and clear away what a killed one was in the middle of writing.

    The lock is the kernel's: it goes with the process that holds it, however that ends. Where nothing else is put
    into a folder that was made for it, the folder goes too.

    Raises:
        InputError: another run holds it.

    """
    made = [path for path in (folder.absolute(), *folder.absolute().parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        for left in (found for pattern in HALF_WRITTEN for found in folder.glob(pattern)):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()  # while it is still ours
        lock.close()
        with suppress(OSError):
            for path in made:
                path.rmdir()


def _lock(folder: Path) -> IO[str]:
    path = folder / LOCK
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another run"
            file.close()
            raise InputError(
                f"{folder} is in use by {holder}: wait for it, or name another --output-dir"
            ) from None
        except OSError:  # a file system without locks
            return file
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            return file
        file.close()  # its holder took the name away between the two steps


def set_aside(output_dir: Path, log_dir: Path) -> None:
    """Move what an earlier run left in the two folders into `previous/<time>/` of the output folder."""
    left = (
        [path for path in output_dir.iterdir() if path.name not in (PREVIOUS, LOCK)]
        if output_dir.exists()
        else []
    )
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
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # it could stand in no journal, report or job
        raise InputError(
            f"{str(folder)!a} is no UTF-8 here: name another folder, or set LC_ALL=C.UTF-8"
        ) from None
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir():
        raise InputError(f"{folder} can't be written: {nearest} is no folder; name another folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}): name another folder") from None
