"""How often an interval holds the truth when measuring stops at the first one that is narrow enough: a simulation.

    python benchmarks/stopping.py

Noise between rounds of several shapes and sizes, at least `LOOK_FROM` rounds and at most 40; a size is the standard
deviation of one round over the wanted half-width. Printed: the share of intervals that hold the truth, and the mean
number of rounds, for intervals made for 95 % and for `CONFIDENCE_LOOKED`.
"""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from densebench.stats.comparison import CONFIDENCE_LOOKED, LOOK_FROM
from densebench.stats.samples import CONFIDENCE

RUNS, MOST_ROUNDS = 20_000, 40
SIZES = (0.3, 0.7, 1.0, 1.5, 2.5, 5.0)


def noise(shape: str, rng: np.random.Generator) -> np.ndarray:
    """Rounds of all runs, (runs, rounds), of standard deviation 1."""
    size = (RUNS, MOST_ROUNDS)
    if shape == "normal":
        return rng.standard_normal(size)
    if shape == "heavy tails":
        heavy: np.ndarray = rng.standard_t(3, size) / np.sqrt(3)
        return heavy
    modes: np.ndarray = np.where(rng.random(size) < 0.5, -0.98, 0.98) + 0.2 * rng.standard_normal(size)
    modes /= np.std(modes)
    return modes


def held(rounds: np.ndarray, confidence: float) -> tuple[float, float]:
    """The share of runs whose last interval holds 0, and their mean number of rounds; the wanted half-width is 1."""
    count = np.arange(1, MOST_ROUNDS + 1)
    mean = np.cumsum(rounds, 1) / count
    freedom = np.maximum(count - 1, 1)
    variance = (np.cumsum(rounds**2, 1) - count * mean**2) / freedom
    half = stdtrit(freedom, 0.5 + confidence / 2) * np.sqrt(variance / count)
    stop = (half <= 1) & (count >= LOOK_FROM)
    stop[:, -1] = True
    last = stop.argmax(1)
    runs = np.arange(RUNS)
    return float((np.abs(mean[runs, last]) <= half[runs, last]).mean()), float(last.mean() + 1)


def main() -> None:
    """Simulate and print."""
    table = Table(title=f"{RUNS} runs each, {LOOK_FROM} to {MOST_ROUNDS} rounds", title_justify="left")
    table.add_column("noise")
    table.add_column("interval", justify="right")
    for size in SIZES:
        table.add_column(f"size {size}", justify="right")
    for shape in ("normal", "heavy tails", "two modes"):
        for confidence in (CONFIDENCE, CONFIDENCE_LOOKED):
            found = [
                held(size * noise(shape, np.random.default_rng(index)), confidence)
                for index, size in enumerate(SIZES)
            ]
            cells = [f"{share:.3f} ({rounds:.0f})" for share, rounds in found]
            table.add_row(shape, f"{confidence:.0%}", *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
