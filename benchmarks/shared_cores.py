"""Whether the host runs this machine's CPUs on one core now and then, and what that costs a model's calls.

    python benchmarks/shared_cores.py results/models/openvino --image-size 224 --seconds 200

Takes an artifact of a sweep that is there. Between any two calls the CPUs are looked at as the suite does it. Printed
for each range of what two looks found, over the shortest: the calls between them, and how long these took, over the
middle one of all. On a machine whose CPUs stay apart one line has nearly all calls.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import densebench
from densebench.machine import allowed_threads
from densebench.measure.cores import SLOWED, Cores

BOUNDS = (1.2, 1.4, SLOWED, 1.8, 2.0, 2.2)
WARM_UP = 10


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
    cores = Cores()
    found = []  # a look, and the call after it
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        look_us, began = cores.look(), time.perf_counter()
        call(images)
        found.append((look_us, time.perf_counter() - began))
    show([(max(one[0], other[0]) / cores.quiet_us, one[1]) for one, other in pairwise(found)])


def show(calls: list[tuple[float, float]]) -> None:
    """A line for each range of the slower look."""
    usual = statistics.median(seconds for _, seconds in calls)
    table = Table("CPUs, over their quickest", "calls", "a call, over the middle one", "from", "to")
    lowest = 1.0
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
