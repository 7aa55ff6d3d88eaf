"""What a process's turns amount to: how much rounds scatter by their mean, by usual turns, by the middle one.

    python benchmarks/centres.py results [more output folders]

Takes the journals of sweeps that are there, as each has all calls of all turns. Printed for each recipe and batch
size that took turns with the baseline, of several journals together: how often it was compared, the standard
deviation of a round's logarithm of the speed-up, and the speed-up.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median, stdev

from rich.console import Console
from rich.table import Table

from densebench.record import BASELINE, Record, Status
from densebench.sinks import journal
from densebench.stats.comparison import Turns, blocks, log_ratio, log_ratio_of_means, log_ratios, turn_means

Cell = tuple[str, str, int]  # of the baseline and the recipe the steps, and the batch size


def middle(own_ms: tuple[float, ...], theirs_ms: tuple[float, ...], turns: Turns) -> float:
    """The middle one of the turns' logarithms."""
    return median(math.log(theirs / own) for own, theirs in turn_means(own_ms, theirs_ms, turns))


WAYS: dict[str, Callable[..., float]] = {
    "of mean times": log_ratio_of_means,
    "usual turns": log_ratio,
    "the middle one": middle,
}


def logs(recipe: Record, baseline: Record, ratio: Callable[..., float]) -> list[float]:
    """Each round's logarithm of the speed-up."""
    ours, theirs = (
        blocks(one.samples_ms, one.rounds, one.beside_ms, one.turns, ratio) for one in (recipe, baseline)
    )
    return log_ratios(ours, theirs)


def main() -> None:
    """Read, and print."""
    found: dict[Cell, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for path in map(Path, sys.argv[1:]):
        latest = {one.key: one for one in journal.read(path)[1] if one.status is Status.OK}
        for (recipe, size), one in latest.items():
            baseline = latest.get((BASELINE, size))
            if recipe != BASELINE and baseline and one.turns:
                for way, ratio in WAYS.items():
                    found[baseline.steps, recipe, size][way].append(logs(one, baseline, ratio))
    table = Table("baseline", "recipe", "batch", "compared", *WAYS)
    for (steps, recipe, size), ways in found.items():
        told = []
        for rounds in ways.values():
            scatter = fmean(stdev(each) for each in rounds if len(each) > 1)
            told.append(f"{100 * scatter:.2f} % ({math.exp(fmean(map(fmean, rounds))):.4f}x)")
        table.add_row(steps, recipe, str(size), str(len(next(iter(ways.values())))), *told)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
