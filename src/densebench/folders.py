"""The folders that a run writes to: whether it can, whose they are, and what an earlier run left there."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from densebench.artifact import MANIFEST
from densebench.cells import MODELS, REFERENCE
from densebench.errors import DensebenchError, InputError, remedy
from densebench.report.write import HTML, MARKDOWN, README
from densebench.sinks import journal
from densebench.sinks.event_file import event_files
from densebench.sinks.log_folder import OWNER, owner

CSV = "benchmark_results.csv"
LOG = "run.log"
PROFILES = "profile"  # in the log folder
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


def set_aside(output_dir: Path, log_dir: Path, *, going_on: str = "") -> None:
    """Move what an earlier run wrote into the two folders into `previous/<time>/` of the output folder.

    Whatever else is there stays where it is: the folders may be the user's own.

    Args:
        output_dir: where results go.
        log_dir: where logs go.
        going_on: when the run began that is resumed there: only logs of another run are moved.

    """
    results = _results(output_dir) if not going_on and (output_dir / journal.FILE_NAME).exists() else []
    # logs of a run into another output folder would be written over
    others = event_files(log_dir) and not (going_on and owner(log_dir) in ("", going_on))
    logs = _logs(log_dir) if results or others else []
    if not (results or logs):
        return
    aside = output_dir / PREVIOUS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside.mkdir(parents=True)
    for path in logs:
        _move(path, log_dir, aside / "tensorboard")
    for path in results:
        _move(path, output_dir, aside)


def _results(output_dir: Path) -> list[Path]:
    """What runs leave in an output folder, the journal last: without it nothing of the rest would be moved again."""
    names = (CSV, HTML, MARKDOWN, README, LOG, REFERENCE, journal.FILE_NAME)
    models = [manifest.parent for manifest in (output_dir / MODELS).glob(f"*/{MANIFEST}")]
    return [*models, *(path for name in names if (path := output_dir / name).exists())]


def _logs(log_dir: Path) -> list[Path]:
    """What runs leave in a log folder: profiles, and event files no deeper than a recipe's batch size."""
    folders = [log_dir, *log_dir.glob("*"), *log_dir.glob("*/bs*")]
    return [
        *(file for one in folders for file in event_files(one)),
        *(path for name in (PROFILES, OWNER) if (path := log_dir / name).exists()),
    ]


def _move(path: Path, root: Path, aside: Path) -> None:
    """Move it to the same place below another folder; a folder that is empty then goes."""
    target = aside / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    with suppress(OSError):
        if path.parent != root:
            path.parent.rmdir()


def check_folders(output_dir: Path, log_dir: Path) -> None:
    """Refuse folders that can't be written to, that would be moved with one another, or that hold a user's report.

    Raises:
        InputError: with what to change.

    """
    check_writable(output_dir)
    check_writable(log_dir)
    out, logs = output_dir.resolve(), log_dir.resolve()
    for one, flag, other, names in (
        (out, "--output-dir", logs, (PROFILES,)),
        (logs, "--log-dir", out, (MODELS, PREVIOUS)),
    ):
        for name in names:
            if one.is_relative_to(other / name):
                raise InputError(f"{flag} {one} lies in {other / name}, which runs move: name another {flag}")
    if (output_dir / journal.FILE_NAME).exists():
        return
    for name in (README, MARKDOWN, HTML, CSV):
        if (output_dir / name).exists():
            raise InputError(
                f"{output_dir / name} is of no run here and would be written over: name another --output-dir"
            )


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
