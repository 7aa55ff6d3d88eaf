"""What a process that is timed says to the baseline's process beside it: time a short block now.

On a shared machine speed changes by a tenth within a second. Blocks of two processes that take turns meet the same
changes, so that these cancel in their ratio (`benchmarks/scatter.py`). Neither begins before the other has come to
rest: threads of some engines go on spinning after a call, and would be in the way (`benchmarks/spinning.py`).
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from densebench.record import Frozen

REST_S = 0.01  # a process that used no more than a tenth of this long in CPU time is at rest
REST_LIMIT_S = 1.0


def comes_to_rest(limit_s: float = REST_LIMIT_S) -> bool:
    """Wait until no thread of this process computes any more; whether that came about in time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        used_s = time.process_time()
        time.sleep(REST_S)
        if time.process_time() - used_s <= REST_S / 10:
            return True
    return False


class Ask(Frozen):
    """A block is wanted: so many images a call, for so many seconds, beside calls that take so many ms."""

    batch_size: int
    seconds: float
    other_ms: float = 0.0


class Told(Frozen):
    """Latencies of the baseline's single calls, and what disturbed them; none where it is too slow for turns."""

    samples_ms: tuple[float, ...]
    disturbance: str = ""
    warm_ms: float = 0.0  # its last call of the warm-up


class Beside:
    """The measuring process's end: asks for blocks, until the other doesn't answer.

    Attributes:
        calls_ms: by batch size, how long the other's last call of the warm-up took, as far as it has said so.

    Args:
        address: of the baseline's socket; empty where none runs.
        limit_s: seconds that one answer may take.

    """

    def __init__(self, address: str, limit_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(limit_s)
        self._answers = False
        self.calls_ms: dict[int, float] = {}
        if address:
            with suppress(OSError):
                self._socket.connect(address)
                self._answers = True
        self._lines = self._socket.makefile("rw", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._lines.close()
        self._socket.close()

    def block(self, batch_size: int, seconds: float, own_ms: float = 0.0) -> Told | None:
        """A block of the baseline's, timed while this process rests, as it does by now; None where there is none.

        This process's own calls take `own_ms`.
        """
        if not self._answers:
            return None
        try:
            ask = Ask(batch_size=batch_size, seconds=seconds, other_ms=own_ms)
            self._lines.write(ask.model_dump_json() + "\n")
            self._lines.flush()
            told = Told.model_validate_json(self._lines.readline())
        except (OSError, ValueError):
            self._answers = False
            return None
        self.calls_ms[batch_size] = told.warm_ms
        return told if told.samples_ms else None
