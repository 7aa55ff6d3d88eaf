"""What makes processes of one artifact differ: the memory that they give back and take again at each call.

    python benchmarks/page_faults.py results --image-size 224 --batch-size 1

Takes artifacts of a sweep that is there. For each recipe fresh processes, one after the other: the mean time of a
call, and how many pages the kernel gave the process meanwhile. Printed: both, how much processes scatter, what a
thousand page faults take by a straight line through the processes, and how much they scatter around that line.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scipy.stats import linregress

from densebench.isolation import plain_environment
from densebench.machine import allowed_threads

CHILD = """
import resource, sys, time
import torch
import densebench
folder, pixels, threads, batch_size, seconds = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
call = densebench.load(folder)
images = torch.randn(batch_size, 3, pixels, pixels)
for _ in range(3):
    call(images)
faults, began, calls = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter(), 0
while time.perf_counter() < began + seconds:
    call(images)
    calls += 1
spent_s = time.perf_counter() - began
print(1000 * spent_s / calls, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / calls)
"""
PROCESSES, SECONDS = 12, 2
LEAST_FAULTS = 1.0  # a call: fewer take no time that shows


def process(folder: Path, pixels: int, threads: int, batch_size: int) -> tuple[float, float]:
    """Milliseconds and page faults of a call, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-Wignore", "-c", CHILD, folder, *map(str, (pixels, threads, batch_size, SECONDS))],
        env=plain_environment(threads),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    ms, faults = map(float, done.stdout.split())
    return ms, faults


def row(found: list[tuple[float, float]]) -> list[str]:
    """What so many processes amount to."""
    times_ms, faults = zip(*found, strict=True)
    mean_ms = statistics.fmean(times_ms)
    cells = [
        f"{mean_ms:.1f} ({min(times_ms):.1f} to {max(times_ms):.1f})",
        f"{100 * statistics.stdev(times_ms) / mean_ms:.1f} %",
        f"{statistics.fmean(faults):,.0f} ({min(faults):,.0f} to {max(faults):,.0f})",
    ]
    if statistics.stdev(faults) <= max(LEAST_FAULTS, 0.01 * max(faults)):
        return [*cells, "", ""]
    line = linregress(faults, times_ms)
    around = [ms - line.intercept - line.slope * each for ms, each in found]
    spread = (sum(each**2 for each in around) / (len(around) - 2)) ** 0.5
    return [
        *cells,
        f"{1000 * line.slope:.2f} ± {2000 * line.stderr:.2f} ms",
        f"{100 * spread / mean_ms:.1f} %",
    ]


def main() -> None:
    """Start processes of each recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of a sweep")
    parser.add_argument("--recipes", default="baseline,channels_last,jit,onnx,openvino")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    given = parser.parse_args()
    what = f"batch {given.batch_size}, {given.image_size} px, {PROCESSES} processes each"
    table = Table(title=what, title_justify="left")
    table.add_column("recipe")
    for column in (
        "a call, ms",
        "scatter",
        "page faults a call",
        "1,000 of them take",
        "scatter around that",
    ):
        table.add_column(column, justify="right")
    for recipe in given.recipes.split(","):
        folder = given.results / "models" / recipe
        table.add_row(
            recipe,
            *row(
                [process(folder, given.image_size, given.threads, given.batch_size) for _ in range(PROCESSES)]
            ),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
