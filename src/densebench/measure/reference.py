"""What a process that is measured and the reference process of the baseline say to each other."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from densebench.errors import UsageError
from densebench.machine.interference import Interference
from densebench.schema import Frozen

MOST_BYTES = 107  # of a socket's path


def socket_path(folder: Path, batch_size: int) -> str:
    """Where the reference process of a batch size listens, in the run's private scratch folder.

    Raises:
        UsageError: the folder's path is too long.

    """
    path = str(folder / f"{batch_size}.socket")
    if len(os.fsencode(path)) > MOST_BYTES:
        raise UsageError(f"{folder} is too long a path for a socket in it: set TMPDIR to a shorter one")
    return path


class Request(Frozen):
    """Time one slice now, of so many seconds."""

    seconds: float


class Reply(Frozen):
    """The slice: single calls of the baseline in ms, and what disturbed them."""

    calls_ms: tuple[float, ...]
    interference: tuple[Interference, ...] = ()


class ReferenceClient:
    """The measured process's end: asks for slices, until the reference process doesn't answer.

    Args:
        address: path of the reference process's socket.
        limit_s: seconds that one answer may take.

    """

    def __init__(self, address: str, limit_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(limit_s)
        self.answers = False
        with suppress(OSError):
            self._socket.connect(address)
            self.answers = True
        self._lines = self._socket.makefile("rw", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._lines.close()
        self._socket.close()

    def slice(self, seconds: float) -> Reply | None:
        """A slice of the baseline's, timed while this process is idle; None where nobody answers."""
        if not self.answers:
            return None
        try:
            self._lines.write(Request(seconds=seconds).model_dump_json() + "\n")
            self._lines.flush()
            return Reply.model_validate_json(self._lines.readline())
        except (OSError, ValueError):
            self.answers = False
            return None
