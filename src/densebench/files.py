"""A file is either the old one or the new one, whole.

The text goes to a temporary file in the same folder, reaches the disk, and takes the name in one step. A
crash or a full disk on the way leaves what was there before.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from densebench.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, newlines as they are.

    Raises:
        OSError: the file can't be written; the old one is intact and the temporary one is gone.

    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`. Raises like `write_text`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:  # not mkstemp: its 0600 would outlive the rename
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the name that readers know for an atomic step
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the file system can."""
    with suppress(OSError):  # some network file systems refuse; the content is synced already
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
