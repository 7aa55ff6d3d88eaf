"""Pairs, rounds or turns: which design buys more precision a second? See docs/decisions/0003-rounds-and-turns.md.

    python benchmarks/design.py --repeats 20

All time the same artifacts: a stack of convolutions in three engines against TorchScript. A pair is a round with one
recipe and one process of the baseline; a round has all recipes and two of the baseline, one after the other. With
turns a process of the baseline stands beside all of a round, and short blocks of it alternate with each recipe's.
Printed for each recipe: the standard deviation of one log-ratio, the seconds that one took, and the variance times
the seconds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path

from lab import LAYERS, Lab, lab
from rich.console import Console
from rich.table import Table

from densebench.machine import allowed_threads
from densebench.stats.comparison import LOOK_FROM, log_ratios

NAMED = {"baseline": "jit", "onnx": "onnx", "openvino": "openvino", "heavier": "jit"}
Ratios = dict[str, list[float]]
RECIPES = tuple(name for name in NAMED if name != "baseline")


def measured(bench: Lab, names: tuple[str, ...], baselines: int, seed: int) -> tuple[Ratios, float]:
    """Rounds of these recipes with so many processes of the baseline: their log-ratios, and the seconds of one."""
    started = time.monotonic()
    records = bench.records(*names, seed=seed, baselines=baselines)
    blocks = {record.recipe: record.blocks for record in records}
    ratios = {name: log_ratios(blocks[name], blocks["baseline"]) for name in names}
    return ratios, (time.monotonic() - started) / len(ratios[names[0]])


def main() -> None:
    """Take all designs in turn, so that drift meets each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20, help="rounded up to a multiple of five")
    parser.add_argument("--threads", type=int, default=allowed_threads())
    parser.add_argument("--folder", type=Path, default=Path("results-precision"))
    given = parser.parse_args()
    logs: dict[tuple[str, str], list[float]] = {}
    seconds: dict[tuple[str, str], list[float]] = {}
    five = {"batch_sizes": (1,), "rounds": LOOK_FROM, "focus_time": 0}

    def take(design: str, bench: Lab, names: tuple[str, ...], baselines: int, seed: int) -> None:
        ratios, spent_s = measured(bench, names, baselines, seed)
        for name in names:
            logs.setdefault((design, name), []).extend(ratios[name])
            seconds.setdefault((design, name), []).append(spent_s / len(names))

    with (
        lab(given.folder / "engines", NAMED, given.threads, focus_batch_sizes=(), **five) as apart,
        lab(given.folder / "engines", NAMED, given.threads, focus_batch_sizes=(1,), **five) as beside,
    ):
        for name in NAMED:
            apart.build(name, LAYERS + 10 * (name == "heavier"))
        for number in range(math.ceil(given.repeats / LOOK_FROM)):
            take("rounds", apart, RECIPES, 2, number)
            take("turns", beside, RECIPES, 2, number)
            for name in RECIPES:
                take("pairs", apart, (name,), 1, number)
    table = Table(
        title=f"{len(logs['pairs', RECIPES[0]])} of each, {given.threads} threads", title_justify="left"
    )
    for column in ("design", "recipe", "sd of one log-ratio", "seconds each", "variance x seconds"):
        table.add_column(column, justify="left" if column in ("design", "recipe") else "right")
    for (design, name), values in sorted(logs.items()):
        sd, cost_s = statistics.stdev(values), statistics.mean(seconds[design, name])
        table.add_row(design, name, f"{sd:.4f}", f"{cost_s:.1f}", f"{sd * sd * cost_s:.5f}")
    Console().print(table)


if __name__ == "__main__":
    main()
