"""A process that SIGKILL does not end, as if it slept in a driver that hangs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

PTRACE_CONT, PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 7, 0x4206, 0x40


@contextmanager
def holding() -> Iterator[Callable[[int], None]]:
    """A function that takes hold of a process: a debugger's, for which the kernel stops it when it is to end.

    It ends with the block. The process may not be a child of this one, which would be told of the stop as of its end.
    """
    held: list[int] = []

    def hold(process: int) -> None:
        if _ptrace(PTRACE_SEIZE, process, PTRACE_O_TRACEEXIT):
            pytest.skip("this process may debug no other")
        held.append(process)

    try:
        yield hold
    finally:
        for process in held:
            _ptrace(PTRACE_CONT, process, 0)


def _ptrace(request: int, process: int, data: int) -> int:
    return int(ctypes.CDLL(None).ptrace(*map(ctypes.c_long, (request, process, 0, data))))
