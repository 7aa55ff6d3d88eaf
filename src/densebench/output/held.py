"""Keeps other runs out of a run's folders, and says in one line why a file can't be written."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from densebench.errors import DensebenchError, InputError, remedy

LOCK = ".lock"
HALF_WRITTEN = (".*.tmp", "models/.*.part-*", "models/.*.old-*")  # by `files` and by `artifacts.folder`


@contextmanager
def disk_explained(folder: Path) -> Iterator[None]:
    """What the system says when a file can't be written, as one line that says what to do."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename2 or error.filename}" if error.filename else ""
        raise DensebenchError(
            f"{folder} can't be written ({error.strerror}{where}): the rows so far are kept; "
            f"{remedy(error)}, then go on with --resume"
        ) from error


@contextmanager
def held(output_dir: Path, log_dir: Path | None = None) -> Iterator[None]:
    """Keep other runs out of both folders: the log folder is the same for all that don't name one.

    Raises:
        InputError: another run holds one of them.

    """
    other = log_dir if log_dir and log_dir.resolve() != output_dir.resolve() else None
    with _held(output_dir, "--output-dir"), _held(other, "--log-dir") if other else nullcontext():
        yield


@contextmanager
def _held(folder: Path, flag: str) -> Iterator[None]:
    """Keep other runs out of a folder, and clear away what a killed one was in the middle of writing.

    The lock is the kernel's: it goes with the process that holds it, however that ends. Where nothing else is put
    into a folder that was made for it, the folder goes too.

    Raises:
        InputError: another run holds it.

    """
    made = [path for path in (folder.absolute(), *folder.absolute().parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder, flag)
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


def _lock(folder: Path, flag: str) -> IO[str]:
    path = folder / LOCK
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another run"
            file.close()
            raise InputError(f"{folder} is in use by {holder}: wait for it, or name another {flag}") from None
        except OSError:  # a file system without locks
            return file
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            return file
        file.close()  # its holder took the name away between the two steps
