"""How fast the CPUs compute right now, seen on a small piece of arithmetic that all of them do at once.

A virtual machine's host may run two of its CPUs on one core. On a shared machine it did so a few times a minute, for
half a second to two: calls of every engine took 1.8 times as long meanwhile, with no time stolen by the kernel's
count. The piece took twice as long then on each CPU, and hardly ever more than 1.5 times otherwise
(`benchmarks/shared_cores.py`). It decides which calls count; their own time doesn't.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from statistics import median

from densebench.beside import comes_to_rest
from densebench.machine import cpu_flags

SLOWED = 1.6  # times as long as at full speed
PIECES = 3
MATRICES, EDGE = 48, 64  # 0.2 ms, in the first two caches; so small that no BLAS takes threads of its own
MOST_CPUS = (
    8  # Python starts one thread after the other: of many the first would be done before the last begins
)
WAIT_S = 2.0
AGAIN_S = 0.05
LOOKS = 20


class Cores:
    """Looks at the CPUs that a model computes on, and never while it does.

    Attributes:
        quiet_us: the shortest time of a piece on the slowest CPU so far, in microseconds.

    """

    def __init__(self, threads: int, quiet_us: float | None = None) -> None:
        """Start a thread for each CPU.

        Args:
            threads: that the model computes with. Where they are as many as the CPUs, each has its own.
            quiet_us: what is known of these CPUs from before.

        """
        import numpy as np

        self.quiet_us = quiet_us or float("inf")
        cpus = sorted(os.sched_getaffinity(0))
        self._count = min(threads, len(cpus))
        self._together = threading.Barrier(self._count)
        self._factor = np.full((EDGE, EDGE), 1 / EDGE, "float32")
        self._many = np.broadcast_to(self._factor, (MATRICES, EDGE, EDGE))
        self._products = np.empty((self._count, *self._many.shape), "float32")
        self._places = iter(cpus if self._count == len(cpus) else ())
        self._pool = ThreadPoolExecutor(self._count, initializer=self._settle_down)
        self.look()  # the first time pays for the threads and the memory

    def look(self) -> float:
        """How long a piece takes on the slowest CPU now, in microseconds."""
        slowest_us = max(self._pool.map(self._piece_us, range(self._count)))
        self.quiet_us = min(self.quiet_us, slowest_us)
        return slowest_us

    def slowed(self) -> str:
        """What the host does to the CPUs now, or nothing; waits for the end of it, up to two seconds.

        Threads of a model that spin on after a call would look the same: they come to rest first.
        """
        if self._full_speed(self.look()):
            return ""
        comes_to_rest()
        found_us = self.look()
        if self._full_speed(found_us):
            return ""
        said = f"the host ran CPUs at {self.quiet_us / found_us:.0%} of their speed".replace("%", " %")
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and not self._full_speed(self.look()):
            time.sleep(AGAIN_S)
        return said

    def _full_speed(self, found_us: float) -> bool:
        return found_us <= SLOWED * self.quiet_us

    def _settle_down(self) -> None:
        with suppress(StopIteration, OSError):  # none of its own, or taken away meanwhile
            os.sched_setaffinity(threading.get_native_id(), {next(self._places)})

    def _piece_us(self, place: int) -> float:
        import numpy as np

        took_s = []
        self._together.wait()
        for _ in range(PIECES):
            began = time.perf_counter()
            np.matmul(self._many, self._factor, out=self._products[place])
            took_s.append(time.perf_counter() - began)
        return 1e6 * median(took_s)


def open_cores(device: str, threads: int, quiet_us: float | None = None) -> Cores | None:
    """What looks at the CPUs, where a host could share them and they are few enough to be seen at once."""
    virtual = "hypervisor" in cpu_flags()
    return Cores(threads, quiet_us) if virtual and device == "cpu" and threads <= MOST_CPUS else None


def quiet_us(cores: Cores | None) -> float | None:
    """The CPUs' full speed, from so many looks that one of them finds it; None where nothing looks."""
    if cores is None:
        return None
    for _ in range(LOOKS):
        cores.look()
        time.sleep(AGAIN_S / 2)
    return cores.quiet_us
