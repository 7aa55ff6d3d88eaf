"""May the answer be trusted? Synthetic sweeps with known speed-ups, through the code that decides.

Each sweep draws the times of its processes. The product's own functions do the rest: rows, verdicts, the choice, the
confirmation's rounds, the decision and the lists. The last column is of the rule that was there before, on the same
sweeps: recommend the recipe with the fastest row, if any of its rows is `faster`; quote that row's speed-up
over the baseline at the same batch size; list rows by their own verdicts.

    python benchmarks/decision.py [--sweeps 2500] [--seed 0] [--output decision.json]

A round slows all of its processes alike, which cancels in every ratio. Each process has a factor of its own, with a
scatter of 3, 5 or 10 %. In half of the sweeps one recipe scatters three times as much as the others. Batch 8 alone
has three or six rounds; of batches 1 to 32 the focus batch sizes 1 and 8 have six. Normal noise is in the logarithm.
Heavy-tailed noise is Student's with three degrees of freedom, scaled to the same standard deviation. With two modes a
third of the processes is slower by three scatters: no interval over six rounds can hold there, so these figures have
no bar.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from densebench.decision import Confirmation, Decision, decide
from densebench.decision.contest import contend
from densebench.decision.lists import listed
from densebench.results.derive import derive
from densebench.results.observation import ProcessSamples, Status
from densebench.results.record import Record, Row, TimedProcess
from densebench.schema import Effect
from densebench.spec import BASELINE, Limits
from densebench.stats.speedup import CLEAR

ROUNDS, FOCUS_ROUNDS, CONFIRMATION_ROUNDS = 3, 6, 6
ROUND_SCATTER = 0.05  # by which rounds differ: it cancels in every ratio
SCATTERS = (0.03, 0.05, 0.10)
RECIPES = (5, 20)
LAYOUTS = (  # batch sizes, and those of them that have six rounds
    ((8,), (8,)),
    ((8,), ()),
    ((1, 2, 4, 8, 16, 32), (1, 8)),
)
LOUD = 3.0  # times the scatter of the others, of one recipe without effect
# images a second of the baseline by batch size, so that its best batch size is one of several that are close
SPEED = {1: 22.0, 2: 27.0, 4: 30.0, 8: 32.0, 16: 33.0, 32: 31.0}
SPEEDUPS = (1.0, 1.1, 1.3, 3.0)
WHO = ("one", "all")  # who has the speed-up: one of the recipes, or every one
LIMITS = Limits()
NOISES = ("normal", "heavy", "two modes")
MODES_APART = 3.0  # scatters
SLOW_SHARE = 1 / 3


@dataclass(frozen=True)
class World:
    """One kind of sweep."""

    noise: str
    scatter: float
    recipes: int
    sizes: tuple[int, ...]
    focus: tuple[int, ...]
    speedup: float
    who: str
    loud: bool  # whether one recipe scatters more than the others

    def scatter_of(self, recipe: str) -> float:
        """By how much the processes of a recipe differ."""
        return self.scatter * (LOUD if self.loud and recipe == "r1" else 1.0)

    def truth(self, recipe: str) -> float:
        """How many times as fast a recipe is as the baseline, at every batch size."""
        return 1.0 if recipe == BASELINE or (self.who == "one" and recipe != "r0") else self.speedup


def worlds(noise: str) -> Iterator[World]:
    """Every kind of sweep with one kind of noise; without any speed-up it doesn't matter who has it."""
    kinds = itertools.product(SCATTERS, RECIPES, LAYOUTS, SPEEDUPS, WHO, (False, True))
    for scatter, recipes, (sizes, focus), speedup, who, loud in kinds:
        if speedup > 1 or who == "all":
            yield World(noise, scatter, recipes, sizes, focus, speedup, who, loud)


def drawn(noise: str, count: int, scatter: float, random: np.random.Generator) -> np.ndarray:
    """Logarithms of what processes differ by."""
    if noise == "heavy":
        return scatter * random.standard_t(3, count) / math.sqrt(3)
    if noise == "two modes":
        slow = random.random(count) < SLOW_SHARE
        return MODES_APART * scatter * (slow - SLOW_SHARE) + scatter / 5 * random.standard_normal(count)
    return scatter * random.standard_normal(count)


def record(
    world: World,
    recipe: str,
    size: int,
    rounds: Sequence[int],
    random: np.random.Generator,
    effects: np.ndarray,
) -> Record:
    """A cell's record: one process a round, two of the baseline's, each with one mean time."""
    each = 2 if recipe == BASELINE else 1
    numbers = [number for number in rounds for _ in range(each)]
    logs = drawn(world.noise, len(numbers), world.scatter_of(recipe), random)
    ms = 1000 * size / (SPEED[size] * world.truth(recipe))
    means_ms = [float(ms * math.exp(x + effects[n])) for x, n in zip(logs, numbers, strict=True)]
    return Record.model_construct(
        model="simulated",
        recipe=recipe,
        steps=recipe,
        batch_size=size,
        device="cpu",
        status=Status.OK,
        timed_processes=tuple(
            TimedProcess.model_construct(
                round=n, samples=ProcessSamples.model_construct(samples_ms=(mean_ms,))
            )
            for n, mean_ms in zip(numbers, means_ms, strict=True)
        ),
        effect=Effect(seen=("simulated",)),
        accuracy_top1=75.0,
        image_size=224,
        weights="none",
        data="none",
        threads=1,
        seed=0,
        environment_id="simulated",
        started_at="2026-01-01T00:00:00+00:00",
    )


@dataclass
class Tally:
    """Outcomes of one rule over sweeps: of each figure how often it was asked, and what came of it."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """One sweep's part in a figure."""
        self.values.setdefault(name, []).append(value)

    def share(self, name: str) -> tuple[float, float, int]:
        """The mean, its standard error, and of how many."""
        own = np.array(self.values.get(name, [math.nan]))
        return float(own.mean()), float(own.std() / math.sqrt(len(own))), len(own)


def sweep(world: World, random: np.random.Generator, new: Tally, old: Tally) -> None:
    """Draw one sweep and judge what both rules make of it."""
    effects = ROUND_SCATTER * random.standard_normal(FOCUS_ROUNDS + CONFIRMATION_ROUNDS)
    names = [BASELINE, *(f"r{number}" for number in range(world.recipes))]
    records = [
        record(world, name, size, range(FOCUS_ROUNDS if size in world.focus else ROUNDS), random, effects)
        for name in names
        for size in world.sizes
    ]
    rows = derive(records)
    cells = dict.fromkeys(contend(rows, "throughput", LIMITS).cells())
    fresh = range(FOCUS_ROUNDS, FOCUS_ROUNDS + CONFIRMATION_ROUNDS)
    again = [record(world, name, size, fresh, random, effects) for name, size in cells]
    decision = decide(rows, Confirmation.of(again), "throughput", LIMITS)
    judge(world, new, *told(decision))
    judge(world, old, *told_before(rows))
    wrong = {way: [world.truth(one.recipe) for one in listed(rows, way)] for way in ("faster", "slower")}
    new.add("list", any(truth <= 1 for truth in wrong["faster"]) or any(t >= 1 for t in wrong["slower"]))
    if world.speedup == 3:
        new.add(
            "listed", sum(truth > 1 for truth in wrong["faster"]) / sum(world.truth(n) > 1 for n in names)
        )
    others = [row for row in rows if row.recipe != BASELINE]
    old.add(
        "list",
        any(
            (row.verdict == "faster" and world.truth(row.recipe) <= 1)
            or (row.verdict == "slower" and world.truth(row.recipe) >= 1)
            for row in others
        ),
    )


@dataclass(frozen=True)
class Headline:
    """The ratio that an answer begins with, of two cells."""

    cell: tuple[str, int]
    base_size: int
    value: float
    low: float
    high: float


def told(decision: Decision) -> tuple[str, Headline | None]:
    """Whom the product recommends, and what it quotes."""
    winner, baseline, ratio = decision.winner, decision.baseline, decision.against_best
    if decision.outcome == "at_batch_size":
        ratio = decision.at_same_size
    recommended = winner.recipe if winner and decision.outcome in ("deploy", "at_batch_size") else ""
    if winner is None or baseline is None or ratio is None or ratio.low is None or ratio.high is None:
        return recommended, None
    size = winner.batch_size if decision.outcome == "at_batch_size" else baseline.batch_size
    return recommended, Headline(winner.key, size, ratio.value, ratio.low, ratio.high)


def told_before(rows: Sequence[Row]) -> tuple[str, Headline | None]:
    """The rule that was there before."""

    def speed(row: Row) -> float:
        return row.throughput_samples_per_s or 0.0

    best = [
        max((r for r in rows if r.recipe == name), key=speed)
        for name in dict.fromkeys(r.recipe for r in rows)
    ]
    base = next(row for row in best if row.recipe == BASELINE)
    able = [
        row
        for row in sorted(best, key=speed, reverse=True)
        if speed(row) > (1 + CLEAR) * speed(base)
        and any(other.verdict == "faster" for other in rows if other.recipe == row.recipe)
    ]
    if not able:
        return "", None
    row = able[0]
    value, low, high = (
        figure or math.nan for figure in (row.speedup, row.speedup_ci_low, row.speedup_ci_high)
    )
    return row.recipe, Headline(row.key, row.batch_size, value, low, high)


def judge(world: World, tally: Tally, recommended: str, headline: Headline | None) -> None:
    """Hold an answer against what the sweep was drawn from."""
    false = bool(recommended) and world.truth(recommended) <= 1
    tally.add("false", false)
    if world.speedup == 1:
        tally.add("equal", false)
    if world.speedup == 1.3 and world.focus:
        tally.add("found", bool(recommended) and world.truth(recommended) > 1)
    if headline is None:
        return
    recipe, size = headline.cell
    truth = world.truth(recipe) * SPEED[size] / SPEED[headline.base_size]
    tally.add("covered", headline.low <= truth <= headline.high)
    if world.speedup >= 1.3 and world.truth(recipe) > 1 and recommended:
        tally.add("error", headline.value / truth - 1)


@dataclass(frozen=True)
class Figure:
    """A line of the table: a figure, its bar, and on which side of the bar it must be."""

    name: str
    about: str
    bar: float
    at_most: bool

    def missed(self, value: float, error: float) -> bool:
        """Whether a figure is past its bar by two standard errors."""
        past = abs(value) - self.bar if self.at_most else self.bar - value
        return past > 2 * error


FIGURES = (
    Figure("false", "sweeps that recommend a recipe without effect", 0.02, at_most=True),
    Figure("equal", "the same where no recipe has any effect", 0.02, at_most=True),
    Figure("covered", "headline intervals that hold the truth", 0.94, at_most=False),
    Figure("error", "mean error of the headline, 1.3x and above", 0.01, at_most=True),
    Figure("list", "sweeps whose lists hold a false entry", 0.05, at_most=True),
    Figure("found", "sweeps that recommend a recipe of 1.3x", 0.90, at_most=False),
)


def simulate(noise: str, sweeps: int, seed: int) -> tuple[Tally, Tally]:
    """At least so many sweeps of one kind of noise, as many of each kind of world."""
    new, old = Tally(), Tally()
    kinds = list(worlds(noise))
    random = np.random.default_rng([seed, NOISES.index(noise)])
    for _ in range(math.ceil(sweeps / len(kinds))):
        for world in kinds:
            sweep(world, random, new, old)
    return new, old


def main() -> int:
    """Print a table for each kind of noise; 1 if a bar was missed."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--sweeps", type=int, default=2500, help="of each kind of noise, at least (2500)")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--output", type=Path, help="a JSON file for the figures")
    given = asked.parse_args()
    missed, kept = 0, {}
    for noise in NOISES:
        began = time.monotonic()
        new, old = simulate(noise, given.sweeps, given.seed)
        print(f"\n{noise} noise: {new.share('false')[2]} sweeps in {time.monotonic() - began:.0f} s")
        print(f"{'':50} {'now':>16} {'before':>16}  bar")
        for figure in FIGURES:
            (value, error, count), before = new.share(figure.name), old.share(figure.name)
            bad = noise != "two modes" and figure.missed(value, error)
            missed += bad
            side = "at most" if figure.at_most else "at least"
            bar = "none" if noise == "two modes" else f"{side} {100 * figure.bar:g} %{', MISSED' * bad}"
            print(f"{figure.about:50} {_percent(value, error):>16} {_percent(*before[:2]):>16}  {bar}")
            kept[f"{noise}, {figure.name}"] = {
                "value": value,
                "error": error,
                "of": count,
                "before": before[0],
            }
        print(
            f"{'recipes of 3x that the list of faster ones names':50} {_percent(*new.share('listed')[:2]):>16}"
        )
    if given.output:
        given.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return int(bool(missed))


def _percent(value: float, error: float) -> str:
    return f"{100 * value:.2f} ±{100 * error:.2f} %"


if __name__ == "__main__":
    sys.exit(main())
