"""How often an interval holds the truth when measuring stops at the first one that is narrow enough: a simulation.

    python benchmarks/stopping.py

Noise between rounds of several shapes and sizes, at least `LOOK_FROM` rounds and at most 40; a size is the standard
deviation of one round over the wanted half-width. Printed: the share of intervals that hold the truth, and the mean
number of rounds, for intervals made for 95 % and for `CONFIDENCE_LOOKED`. The same where a tenth of the effect is
narrow enough, which the estimate itself says, with how far its mean lies from the truth. Then, for turns within one
process, which go on while their ratio is vague: how far the mean logarithm of the speed-up lies from the truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from densebench.beside import Told
from densebench.measure.latency import Budget, Samples, calls_of
from densebench.stats.comparison import CONFIDENCE_LOOKED, EFFECT_SHARE, LOOK_FROM, log_ratio
from densebench.stats.samples import CONFIDENCE
from densebench.turns import alternate, part_of

RUNS, MOST_ROUNDS = 20_000, 40
PROCESSES, TARGET = 2000, 0.02
# of turns: how they differ, a call of the baseline, the seconds that both are timed
MOMENTS, SLOW_MS, SAMPLE_S = 0.15, 200.0, 0.5
SPEEDUPS, CALL_NOISE = (1.0, 1.05, 1.2, 1.6, 2.2, 2.7, 7.0), (0.02, 0.05, 0.1, 0.2)
SIZES = (0.3, 0.7, 1.0, 1.5, 2.5, 5.0)
EFFECTS = (1.25, 1.6, 3.0, 8.0)


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


def held(rounds: np.ndarray, confidence: float, effect: float = 0.0) -> tuple[float, float, float]:
    """The share of runs whose last interval holds 0, their mean number of rounds, and the mean of the estimates.

    The wanted half-width is 1, or the effect's share where that is more, by what it is estimated to be.
    """
    count = np.arange(1, MOST_ROUNDS + 1)
    mean = np.cumsum(rounds, 1) / count
    freedom = np.maximum(count - 1, 1)
    variance = (np.cumsum(rounds**2, 1) - count * mean**2) / freedom
    half = stdtrit(freedom, 0.5 + confidence / 2) * np.sqrt(variance / count)
    wanted = np.maximum(1, EFFECT_SHARE * np.abs(effect + mean))
    stop = (half <= wanted) & (count >= LOOK_FROM)
    stop[:, -1] = True
    last = stop.argmax(1)
    ended = mean[np.arange(RUNS), last]
    covered = np.abs(ended) <= half[np.arange(RUNS), last]
    return float(covered.mean()), float(last.mean() + 1), float(ended.mean())


def bias(noise: float, effect: float) -> tuple[float, float, float]:
    """The mean error of a process's log-ratio, two standard errors of that mean, and the mean number of turns.

    The machine is faster or slower by MOMENTS in each turn, each call takes longer or shorter by `noise`, and a block
    has as many calls as usually fill it.
    """
    rng = np.random.default_rng(0)
    moments = itertools.chain.from_iterable(itertools.repeat(np.exp(MOMENTS * x), 2) for x in normals(rng))

    def block(alone_ms: float) -> tuple[float, ...]:
        count = calls_of(part_of(Budget(SAMPLE_S, np.inf)), alone_ms)
        return tuple(next(moments) * alone_ms * np.exp(noise * rng.standard_normal(count)))

    def own(warm_ms: float) -> Samples:
        return Samples(block(SLOW_MS / np.exp(effect)), 1, warm_ms=warm_ms)

    def theirs(warm_ms: float) -> Told:
        return Told(samples_ms=block(SLOW_MS), warm_ms=warm_ms)

    errors, turns = [], []
    for _ in range(PROCESSES):
        fast_ms, slow_ms = (SLOW_MS * np.exp(noise * rng.standard_normal(2) - (effect, 0))).tolist()
        ours, others, _ = alternate(
            partial(own, warm_ms=fast_ms), partial(theirs, warm_ms=slow_ms), TARGET, SAMPLE_S, np.inf
        )
        counts = [(len(a.kept_ms), len(b.samples_ms)) for a, b in zip(ours, others, strict=True)]
        sides = [x for a in ours for x in a.kept_ms], [x for b in others for x in b.samples_ms]
        errors.append(log_ratio(*sides, counts) - effect)
        turns.append(len(ours))
    return float(np.mean(errors)), 2 * float(np.std(errors)) / PROCESSES**0.5, float(np.mean(turns))


def normals(rng: np.random.Generator) -> Iterator[float]:
    """Standard normal numbers without an end."""
    while True:
        yield float(rng.standard_normal())


def print_effects() -> None:
    """Intervals of `CONFIDENCE_LOOKED` whose width is held against the estimate; sizes are of the width wanted."""
    title = f"a target of {TARGET:.0%} or a tenth of the effect: held (rounds, mean error in %)"
    table = Table(title=title, title_justify="left")
    table.add_column("noise")
    table.add_column("speed-up", justify="right")
    for size in SIZES:
        table.add_column(f"size {size}", justify="right")
    for shape in ("normal", "heavy tails", "two modes"):
        for speedup in EFFECTS:
            effect = float(np.log(speedup)) / TARGET
            unit = max(1.0, EFFECT_SHARE * effect)  # half-widths of the target
            cells = []
            for index, size in enumerate(SIZES):
                rounds = size * unit * noise(shape, np.random.default_rng(index))
                share, count, error = held(rounds, CONFIDENCE_LOOKED, effect)
                cells.append(f"{share:.3f} ({count:.0f}, {100 * TARGET * error:+.2f})")
            table.add_row(shape, f"{speedup}x", *cells)
    Console(width=140).print(table)


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
            cells = [f"{share:.3f} ({rounds:.0f})" for share, rounds, _ in found]
            table.add_row(shape, f"{confidence:.0%}", *cells)
    Console(width=120).print(table)
    print_effects()
    table = Table(title=f"turns, {PROCESSES} processes each: error in % ± 2 SE (turns)", title_justify="left")
    table.add_column("noise of a call")
    for speedup in SPEEDUPS:
        table.add_column(f"{speedup}x", justify="right")
    for sd in CALL_NOISE:
        errors = [bias(sd, float(np.log(speedup))) for speedup in SPEEDUPS]
        table.add_row(f"{sd:.0%}", *(f"{100 * off:+.2f} ± {100 * se:.2f} ({n:.1f})" for off, se, n in errors))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
