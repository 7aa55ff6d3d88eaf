"""Where the host runs this machine's CPUs, which changes now and then, and what that costs a model's calls.

    python benchmarks/shared_cores.py results/models/openvino --image-size 224 --seconds 200

Takes an artifact of a sweep that is there. Between any two calls the CPUs are looked at in two ways: by arithmetic,
as the suite does it, which takes twice as long on two CPUs of one core; and by all of them reading memory of their
own at once, which takes longer where they share a way to it, and with it the cache that a call passes its tensors
through. Printed for each range of what two looks found, over the quickest: the calls between them, and how long these
took, over the middle one of all. On a machine whose CPUs stay where they are one line has nearly all calls.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import densebench
from densebench.machine import MB, allowed_threads
from densebench.measure.cores import SLOWED, Cores, full_speed_us

BOUNDS = (1.1, 1.2, 1.4, SLOWED, 1.8, 2.0, 2.2)
WARM_UP = 10
READ_MB = 8  # more than a second cache has


class Reading:
    """What all CPUs read at once, each from memory of its own."""

    def __init__(self) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        self._places, self._together = iter(cpus), threading.Barrier(len(cpus))
        self._own = [np.ones(int(READ_MB * MB) // 4, "float32") for _ in cpus]
        self._pool = ThreadPoolExecutor(len(cpus), initializer=self._settle_down)

    def look(self) -> float:
        """How long it takes on the slowest CPU now, in microseconds."""
        return max(self._pool.map(self._piece, self._own))

    def _settle_down(self) -> None:
        os.sched_setaffinity(threading.get_native_id(), {next(self._places)})

    def _piece(self, own: np.ndarray) -> float:
        self._together.wait()
        began = time.perf_counter()
        own.sum()
        return 1e6 * (time.perf_counter() - began)


def main() -> None:
    """Look, call, look, call; then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    call = densebench.load(given.artifact)
    images = torch.randn(given.batch_size, 3, given.image_size, given.image_size)
    for _ in range(WARM_UP):
        call(images)
    cores, memory = Cores(), Reading()
    looks: dict[str, list[float]] = {"arithmetic": [], "memory": []}
    taken_s = []  # by the call after them
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        looks["memory"].append(memory.look())
        looks["arithmetic"].append(cores.look())
        began = time.perf_counter()
        call(images)
        taken_s.append(time.perf_counter() - began)
    for kind, found_us in looks.items():
        show(kind, found_us, taken_s)


def show(kind: str, looks_us: Sequence[float], taken_s: Sequence[float]) -> None:
    """A line for each range of the slower of the looks before and after a call."""
    quiet_us = full_speed_us(looks_us) or 1.0
    calls = [
        (max(both) / quiet_us, seconds) for both, seconds in zip(pairwise(looks_us), taken_s, strict=False)
    ]
    usual = statistics.median(seconds for _, seconds in calls)
    table = Table(f"{kind}, over its quickest", "calls", "a call, over the middle one", "from", "to")
    lowest = 0.0
    for bound in (*BOUNDS, float("inf")):
        ratios = sorted(seconds / usual for look, seconds in calls if lowest <= look < bound)
        if ratios:
            ends = [f"{ratios[round(share * (len(ratios) - 1))]:.2f}" for share in (0.05, 0.95)]
            label = f"{lowest:g} to {bound:g}" if bound < float("inf") else f"{lowest:g} and more"
            table.add_row(label, str(len(ratios)), f"{statistics.median(ratios):.2f}", *ends)
        lowest = bound
    Console().print(table)


if __name__ == "__main__":
    main()
