"""How much slower the first call after a hand-over is than the third: what a turn's untimed calls are for.

    python benchmarks/hand_over.py results --image-size 224

Takes artifacts of a sweep that is there. Two processes that have loaded the same one compute in turn, three calls
each, with a tenth of a second of rest between; printed for each recipe and batch size: a call's median, and the first
and second one over the third, geometric means over all turns with two standard errors.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from spinning import Process

from densebench.machine import allowed_threads

TURNS, REST_S = 24, 0.1  # turns of each of the two


def over_third(calls_s: Sequence[Sequence[float]], which: int) -> str:
    """One of three calls over the last, in percent."""
    logs = [math.log(three[which] / three[2]) for three in calls_s]
    return f"{100 * statistics.fmean(logs):+.1f} ± {200 * statistics.stdev(logs) / len(logs) ** 0.5:.1f} %"


def main() -> None:
    """Let each recipe take turns with itself."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of a sweep")
    parser.add_argument("--recipes", default="baseline,channels_last,onnx,openvino")
    parser.add_argument("--batch-sizes", default="1,2,4,8,16")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    given = parser.parse_args()
    table = Table(title=f"{given.image_size} px, {given.threads} threads", title_justify="left")
    for column in ("recipe", "batch size", "call, ms", "first over third", "second over third"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for recipe in given.recipes.split(","):
        for size in map(int, given.batch_sizes.split(",")):
            folder = given.results / "models" / recipe
            both = [Process(folder, given.image_size, given.threads, size) for _ in range(2)]
            calls_s = []
            for _ in range(TURNS):
                for one in both:
                    time.sleep(REST_S)  # longer than ONNX Runtime's threads spin on
                    calls_s.append([seconds for _, seconds in one.calls(3)])
            for one in both:
                one.child.kill()
            call_ms = f"{1000 * statistics.median(three[2] for three in calls_s):.0f}"
            table.add_row(recipe, str(size), call_ms, over_third(calls_s, 0), over_third(calls_s, 1))
    Console().print(table)


if __name__ == "__main__":
    main()
