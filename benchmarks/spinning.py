"""Whether an engine's threads go on computing after a call, and what that costs the process that comes next.

    python benchmarks/spinning.py results --image-size 32

Takes the artifacts of a sweep that is there. Printed for each recipe: the CPU time that its process used in the half
second after its last call; the baseline's median latency in a slice after its own pause and right after the recipe's
slice, in two parts: the first 60 ms, and what follows; and how much longer the recipe's own calls take in such
slices, with pauses between, than in one long run.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from densebench.machine.cpus import placement
from densebench.processes.environment import plain_environment

CHILD = """
import sys, time
import torch
import densebench
torch.set_num_threads(int(sys.argv[3]))
call = densebench.load(sys.argv[1])
images = torch.randn(int(sys.argv[4]), 3, int(sys.argv[2]), int(sys.argv[2]))
for _ in range(10):
    call(images)
print("ready", flush=True)
for line in sys.stdin:
    seconds, count = map(float, line.split())
    started, times = time.perf_counter(), []
    while (began := time.perf_counter()) < started + seconds and len(times) < 2 * count:
        call(images)
        times += [began - started, time.perf_counter() - began]
    print(*times, flush=True)
"""
SLICE_S, LONG_S, PAUSE_S, EARLY_S, TIMES = 0.25, 2.0, 0.5, 0.06, 12
Calls = list[tuple[float, float]]  # seconds since the slice began, and of the call


class Process:
    """An artifact, loaded, that computes when it is asked to."""

    def __init__(self, artifact: Path, pixels: int, threads: int, batch_size: int = 1) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD, artifact, *map(str, (pixels, threads, batch_size))],
            env=plain_environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def slice(self, seconds: float = SLICE_S) -> Calls:
        """So many seconds of calls."""
        return self._ask(seconds, math.inf)

    def calls(self, count: int) -> Calls:
        """So many calls."""
        return self._ask(math.inf, count)

    def _ask(self, seconds: float, count: float) -> Calls:
        assert self.child.stdin
        self.child.stdin.write(f"{seconds} {count}\n")
        self.child.stdin.flush()
        numbers = [float(word) for word in self._line().split()]
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def idle_cpu_s(self) -> float:
        """CPU seconds that it uses in the half second that follows."""
        process = psutil.Process(self.child.pid)
        before = process.cpu_times()
        time.sleep(PAUSE_S)
        after = process.cpu_times()
        return after.user + after.system - before.user - before.system

    def _line(self) -> str:
        assert self.child.stdout
        return self.child.stdout.readline()


def median_ms(calls: Calls, *, early: bool) -> str:
    """The median latency of the calls that began in the first 60 ms, or after them."""
    return f"{1000 * statistics.median(s for began, s in calls if (began < EARLY_S) == early):.1f}"


def mean_s(calls: Calls) -> float:
    """Mean of the calls but the first of a slice, which is slow."""
    return statistics.fmean(s for began, s in calls if began > calls[0][1] / 2)


def main() -> None:
    """Try each recipe beside the baseline."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of a sweep")
    parser.add_argument("--recipes", default="baseline,channels_last,onnx_int8,openvino")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--threads", type=int, default=placement().threads)
    given = parser.parse_args()
    table = Table(title=f"{given.image_size} px, {given.threads} threads", title_justify="left")
    table.add_column("recipe")
    for column in (
        "used after a call, ms",
        "baseline alone, ms: early",
        "late",
        "after it: early",
        "late",
        "short slices",
    ):
        table.add_column(column, justify="right")
    baseline = Process(given.results / "models/baseline", given.image_size, given.threads)
    for recipe in given.recipes.split(","):
        other = Process(given.results / "models" / recipe, given.image_size, given.threads)
        used: list[float] = []
        alone: Calls = []
        after: Calls = []
        longer: list[float] = []
        for _ in range(TIMES):
            alone += baseline.slice()
            other.slice()
            after += baseline.slice()
            other.slice()
            used.append(other.idle_cpu_s())
            short = other.slice()
            time.sleep(PAUSE_S)
            long = other.slice(LONG_S)
            time.sleep(PAUSE_S)
            short += other.slice()
            time.sleep(PAUSE_S)
            longer.append(mean_s(short) / mean_s(long) - 1)
        cells = [median_ms(calls, early=early) for calls in (alone, after) for early in (True, False)]
        more = f"{100 * statistics.mean(longer):+.0f} ± {200 * statistics.stdev(longer) / TIMES**0.5:.0f} %"
        table.add_row(recipe, f"{1000 * statistics.median(used):.0f}", *cells, more)
        other.child.kill()
    baseline.child.kill()
    Console().print(table)


if __name__ == "__main__":
    main()
