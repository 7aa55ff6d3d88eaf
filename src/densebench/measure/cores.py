"""How fast the CPUs compute right now, seen on a small piece of arithmetic that all of them do at once.

A virtual machine's host may run two of its CPUs on one core. On a shared machine it did so a few times a minute, for
half a second to two: calls of every engine took 1.8 times as long meanwhile, with no time stolen by the kernel's
count. The piece took twice as long then on each CPU, and hardly ever more than 1.6 times otherwise
(`benchmarks/shared_cores.py`). It decides which calls count; their own time doesn't.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from densebench.beside import comes_to_rest
from densebench.measure.counters import has_host

SLOWED = 1.6  # times as long as at full speed
# of looks are quicker than what counts as full speed: on a host that always has others the quickest is an accident
QUICKEST = 0.05
PIECES = 3
MATRICES, EDGE = 48, 64  # 0.2 ms, in the second cache; so small that no BLAS takes threads of its own
TOGETHER = 5  # tries until the CPUs did it at once
# looks in a row, of 1 ms: a clock that slowed down while nothing was to be done takes some to rise
WAKING = 10
# Python starts one thread after the other: of many the first would be done before the last begins
MOST_CPUS = 8
WAIT_S = 2.0
MOST_S = 10.0  # all waits of a turn, generously
AGAIN_S = 0.05
LOOKS = 40


@dataclass(frozen=True)
class Speed:
    """How slow the CPUs were, in words or none; whether that is over; whether the next call comes after a pause."""

    said: str = ""
    full: bool = True
    paused: bool = False


def full_speed_us(looks_us: Sequence[float]) -> float | None:
    """How long a piece takes at full speed, by looks so far: what one in twenty is below."""
    return sorted(looks_us)[int(QUICKEST * len(looks_us))] if looks_us else None


class Cores:
    """Looks at the CPUs that a model computes on, and never while it does.

    Attributes:
        looks_us: how long a piece took on the slowest CPU, in microseconds: of looks that found all CPUs at once, and
            not of those in a row that wait for full speed.

    """

    def __init__(self, known_us: float | None = None) -> None:
        """Start a thread on each CPU.

        Args:
            known_us: how long a piece takes at full speed; if nothing is known, these looks tell.

        """
        import numpy as np

        cpus = sorted(os.sched_getaffinity(0))
        self.looks_us: list[float] = []
        self._told = 0
        self._known_us = known_us
        self._count = len(cpus)
        self._together = threading.Barrier(self._count)
        self._factor = np.full((EDGE, EDGE), 1 / EDGE, "float32")
        self._many = np.broadcast_to(self._factor, (MATRICES, EDGE, EDGE))
        self._products = np.empty((self._count, *self._many.shape), "float32")
        self._places = iter(cpus)
        self._hope = True  # the wait before ended at full speed, or that came back since
        self._pool = ThreadPoolExecutor(self._count, initializer=self._settle_down)
        self._last_us = 0.0
        self._look()  # the first time pays for the threads and the memory

    @property
    def quiet_us(self) -> float:
        """How long a piece takes at full speed, in microseconds."""
        own_us = full_speed_us(self.looks_us) or self._last_us
        if self._known_us is None:
            return own_us
        enough = len(self.looks_us) >= 1 / QUICKEST  # what was known may be of a slow moment
        return min(self._known_us, own_us) if enough else self._known_us

    def news(self) -> tuple[float, ...]:
        """Looks since this was asked before."""
        first, self._told = self._told, len(self.looks_us)
        return tuple(self.looks_us[first:])

    def look(self) -> float:
        """How long a piece takes on the slowest CPU now, in microseconds; it is one of `looks_us` from now on.

        Where one CPU had begun and ended before another began, they were not seen at once: that tells nothing.
        """
        if self._look():
            self.looks_us.append(self._last_us)
        return self._last_us

    def _look(self) -> bool:
        """Look, and tell whether all CPUs were seen at once."""
        for _ in range(TOGETHER):
            found = list(self._pool.map(self._piece, range(self._count)))
            self._last_us = max(us for *_, us in found)
            if max(began for began, *_ in found) < min(ended for _, ended, _ in found):
                return True
        return False

    def speed(self) -> Speed:
        """Whether the CPUs are at full speed; if not, wait for it, up to two seconds.

        Threads of a model that spin on after a call would look the same: they come to rest first. What did not end is
        not waited for again before it has.
        """
        self.look()
        if self._full():
            return Speed()
        comes_to_rest()
        if self.wakes():
            return Speed(paused=True)
        said = f"CPUs ran at {self.quiet_us / self._last_us:.0%} of their speed".replace("%", " %")
        end = time.monotonic() + (WAIT_S if self._hope else 0.0)
        while not (full := self.wakes()) and time.monotonic() < end:
            time.sleep(AGAIN_S)
        self._hope = full
        return Speed(said, full, paused=True)

    def _full(self) -> bool:
        """Whether the last look found full speed."""
        full = self._last_us <= SLOWED * self.quiet_us
        self._hope |= full
        return full

    def wakes(self) -> bool:
        """Look some times in a row, until one finds full speed."""
        for _ in range(WAKING):
            self._look()
            if self._full():
                return True
        return False

    def _settle_down(self) -> None:
        with suppress(OSError):  # taken away meanwhile
            os.sched_setaffinity(threading.get_native_id(), {next(self._places)})

    def _piece(self, place: int) -> tuple[float, float, float]:
        """When it began, when its first part ended, and how long a part took, in microseconds."""
        import numpy as np

        ends = []
        self._together.wait()
        began = time.perf_counter()
        for _ in range(PIECES):
            np.matmul(self._many, self._factor, out=self._products[place])
            ends.append(time.perf_counter())
        parts = [ended - before for before, ended in zip([began, *ends], ends, strict=False)]
        return began, ends[0], 1e6 * median(parts)


def open_cores(device: str, threads: int, known_us: float | None = None) -> Cores | None:
    """What looks at the CPUs, where a host could share them, a model uses all, and they can be seen at once.

    Where it uses fewer nobody knows which, and a piece that fewer CPUs do at once has another shortest time.
    """
    cpus = frozenset(os.sched_getaffinity(0))
    used = device == "cpu" and len(cpus) <= min(threads, MOST_CPUS)
    return Cores(known_us) if used and has_host(cpus) else None


def survey(cores: Cores | None) -> tuple[float, ...]:
    """Looks over as long as the CPUs may be slow, each the last of some in a row, as their clocks must rise first."""
    if cores is None:
        return ()
    for _ in range(LOOKS):
        cores.wakes()
        cores.look()
        time.sleep(WAIT_S / LOOKS)
    return tuple(cores.looks_us)
