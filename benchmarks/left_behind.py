"""What a larger batch leaves in a process: how much quicker smaller ones are after it.

    python benchmarks/left_behind.py results --image-size 224

Takes artifacts of a sweep that is there. For each recipe fresh processes, in turn: one that has served a batch of
one image only, one that has served a batch of eight before. Printed: the means of their calls of one image, and by
how much the second kind is quicker, with two standard errors over processes.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table
from spinning import Process

from densebench.machine import allowed_threads

PROCESSES, SECONDS = 6, 3.0  # of each kind; of calls in each


def main() -> None:
    """Start processes of both kinds in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of a sweep")
    parser.add_argument("--recipes", default="baseline,channels_last,jit,openvino")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    given = parser.parse_args()
    table = Table(
        title=f"batch 1, {given.image_size} px, {PROCESSES} processes of each kind", title_justify="left"
    )
    for column in ("recipe", "alone, ms", "after batch 8, ms", "quicker by"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for recipe in given.recipes.split(","):
        logs: dict[tuple[int, ...], list[float]] = {(): [], (8,): []}
        for _ in range(PROCESSES):
            for before, found in logs.items():
                one = Process(given.results / "models" / recipe, given.image_size, given.threads, 1, *before)
                found.append(math.log(statistics.fmean(seconds for _, seconds in one.block(SECONDS))))
                one.child.kill()
        alone, after = logs.values()
        means = [f"{1000 * math.exp(statistics.fmean(each)):.1f}" for each in (alone, after)]
        variances = [statistics.variance(each) / PROCESSES for each in (alone, after)]
        gain = 100 * (statistics.fmean(alone) - statistics.fmean(after))
        table.add_row(recipe, *means, f"{gain:.0f} ± {200 * math.sqrt(sum(variances)):.0f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
