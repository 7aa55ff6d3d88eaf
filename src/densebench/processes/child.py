"""One way to start a child process, to hear it, and to end it with all that it started.

The parent sleeps in the kernel while a child works. On a small machine a parent that polls would be part of the
measurement.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from signal import SIGKILL
from typing import IO

from densebench.processes.messages import Problem

END_LIMIT_S = 10.0  # for a child that is about to end by itself
KILL_LIMIT_S = 5.0  # SIGKILL ends a process at once, but for one in uninterruptible sleep (state D)
PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when the process that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def ended(process: int, limit_s: float) -> bool:
    """Whether a process ends within the limit. If it is a child of this one, it is still to be reaped."""
    try:
        with os.fdopen(os.pidfd_open(process), "rb", buffering=0) as handle:
            return bool(select.select([handle], [], [], limit_s)[0])
    except ProcessLookupError:
        return True


def kill(process: int) -> str:
    """End a process, and whatever is in its group, with SIGKILL.

    Returns:
        Nothing, or that the kernel did not end it.

    """
    for send in (os.killpg, os.kill):  # a child that was forked just now has no group of its own yet
        with suppress(ProcessLookupError, PermissionError):
            send(process, SIGKILL)
    if ended(process, KILL_LIMIT_S):
        return ""
    return f"the kernel did not end process {process} in {KILL_LIMIT_S:g} s (a driver or disk that hangs?)"


def end(process: subprocess.Popen[bytes], patience_s: float = 0.0) -> str:
    """End a child with all that it started, after it had so many seconds to end by itself, and reap it.

    Returns:
        Nothing, or that the kernel did not end it.

    """
    if process.returncode is not None:  # reaped before: its number may be another process's by now
        return ""
    ended(process.pid, patience_s)
    stuck = kill(process.pid)
    process.poll()
    return stuck


def last_line(log: IO[bytes], start: int = 0) -> str:
    """The last line that was written to a log from there on, wherever the file is by now."""
    written = os.pread(log.fileno(), os.fstat(log.fileno()).st_size - start, start)
    lines = written.decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def death(code: int, last_line: str) -> Problem:
    """The problem of a child that ended without an answer: it was killed, or a library ended it."""
    said = f": {last_line}" if last_line else ""
    if code >= 0:
        return Problem(kind="failed", message=f"ended with exit code {code}{said}")
    name = signal.Signals(-code).name
    killed = name == "SIGKILL"
    hint = " (out of memory?)" if killed else ""
    return Problem(kind="failed", message=f"ended by {name}{hint}{said}", out_of_memory=killed)


class Lines:
    """What a child writes to a pipe or a socket, line by line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffered = b""

    def next(self, deadline: float) -> bytes:
        """The next line; nothing once the child has closed its end.

        Raises:
            TimeoutError: no line came before the deadline, a time of `time.monotonic`.

        """
        while b"\n" not in self._buffered:
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self._descriptor], [], [], left_s)[0]:
                raise TimeoutError
            chunk = os.read(self._descriptor, 1 << 16)
            if not chunk:
                return b""
            self._buffered += chunk
        line, _, self._buffered = self._buffered.partition(b"\n")
        return line


class Child(AbstractContextManager["Child"]):
    """A process with a socket to it, the number of which is the last of its arguments. It ends with the block.

    It has a session of its own: one signal ends all that it starts, and Ctrl-C does not reach it.

    Args:
        command: the program and its other arguments.
        output: where standard output and standard error go; to those of this process if nothing is given.
        environment: all its variables; those of this process if none are given.
        folder: its working folder.
        kind: of socket.

    """

    def __init__(
        self,
        command: Sequence[str | Path],
        output: IO[bytes] | int | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        kind: int = socket.SOCK_STREAM,
    ) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, kind)
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.lines = Lines(self.socket.fileno())

    def end(self, patience_s: float = 0.0) -> str:
        """Close the socket, then `end` the process."""
        self.socket.close()
        return end(self.process, patience_s)

    def death(self, last_line: str = "") -> Problem:
        """How a child ended that has closed its socket."""
        if stuck := self.end(END_LIMIT_S):
            return Problem(kind="timed_out", message=f"closed its socket, and {stuck}")
        return death(self.process.returncode, last_line)

    def __exit__(self, *error: object) -> None:
        self.end()
