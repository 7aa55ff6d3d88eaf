"""Pairs or rounds: which design buys more precision a second? See docs/decisions/0003-rounds-not-pairs.md.

    python benchmarks/design.py --repeats 12

Both time the same artifacts: a stack of convolutions in three engines against TorchScript. A pair is a round with one
recipe and one process of the baseline; a round has all recipes and two of the baseline. Printed for each recipe: the
standard deviation of one log-ratio, the seconds that one took, and the variance times the seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from lab import LAYERS, Lab, lab
from rich.console import Console
from rich.table import Table

from densebench.machine import allowed_threads
from densebench.record import Record
from densebench.stats.comparison import log_ratios

NAMED = {"baseline": "jit", "onnx": "onnx", "openvino": "openvino", "heavier": "jit"}
RECIPES = tuple(name for name in NAMED if name != "baseline")


def measured(bench: Lab, names: tuple[str, ...], baselines: int, seed: int) -> tuple[list[Record], float]:
    """One round of these recipes with so many processes of the baseline; the records, and its seconds."""
    started = time.monotonic()
    records = bench.records(*names, seed=seed, baselines=baselines)
    return records, time.monotonic() - started


def ratio(records: list[Record], name: str) -> float:
    """The log-ratio of one round."""
    by_name = {record.recipe: record.blocks for record in records}
    return log_ratios(by_name[name], by_name["baseline"])[0]


def main() -> None:
    """Take both designs in turn, so that drift meets both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    parser.add_argument("--folder", type=Path, default=Path("results-precision"))
    given = parser.parse_args()
    logs: dict[tuple[str, str], list[float]] = {}
    seconds: dict[tuple[str, str], list[float]] = {}
    sizes = {"batch_sizes": (1,), "focus_batch_sizes": (), "rounds": 1, "sample_time": 0.4}
    with lab(given.folder / "engines", NAMED, given.threads, **sizes) as bench:
        for name in NAMED:
            bench.build(name, LAYERS + 10 * (name == "heavier"))
        for number in range(given.repeats):
            records, spent_s = measured(bench, RECIPES, 2, number)
            for name in RECIPES:
                logs.setdefault(("rounds", name), []).append(ratio(records, name))
                seconds.setdefault(("rounds", name), []).append(spent_s / len(RECIPES))
            for name in RECIPES:
                records, spent_s = measured(bench, (name,), 1, number)
                logs.setdefault(("pairs", name), []).append(ratio(records, name))
                seconds.setdefault(("pairs", name), []).append(spent_s)
    table = Table(title=f"{given.repeats} of each, {given.threads} threads", title_justify="left")
    for column in ("design", "recipe", "sd of one log-ratio", "seconds each", "variance x seconds"):
        table.add_column(column, justify="left" if column in ("design", "recipe") else "right")
    for (design, name), values in sorted(logs.items()):
        sd, cost_s = statistics.stdev(values), statistics.mean(seconds[design, name])
        table.add_row(design, name, f"{sd:.4f}", f"{cost_s:.1f}", f"{sd * sd * cost_s:.5f}")
    Console().print(table)


if __name__ == "__main__":
    main()
