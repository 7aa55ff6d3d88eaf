"""Several results folders held against each other: the best recipe of each, and where a recipe ranks differently.

What is said is data here; `across_markdown` and `html.across` write it down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densebench.errors import InputError
from densebench.report.headline import headline
from densebench.report.prices import Prices
from densebench.report.roofs import Place, place
from densebench.report.sweep import Sweep, throughput
from densebench.report.tables import MISSING
from densebench.results.ceilings import called
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import joined, short, times

LEAST_MOVE = 2  # places that a recipe must move between two runs to be named
MOST_MOVES = 5  # recipes that are named
UNLIKE = 1.25  # quotient of two ceilings, or of two recipes' gains, from which they differ
HOUR_S = 3600
TITLE = "Which optimization to deploy, over several models and machines"
GAINS = "By the rows of each sweep: best throughput over the baseline's best, each at its own batch size; the place."
NO_MOVES = "No recipe moves by two places or more and differs clearly in its gain."


@dataclass(frozen=True)
class Run:
    """One results folder, with what its machine is called."""

    name: str
    machine: str
    sweep: Sweep

    @property
    def model(self) -> str:
        return self.sweep.rows[0].model if self.sweep.rows else MISSING

    @property
    def gains(self) -> dict[str, float]:
        """Each recipe's best throughput over the baseline's best."""
        best = {row.recipe: throughput(row) for row in self.sweep.best}
        return {name: speed / best[BASELINE] for name, speed in best.items()} if BASELINE in best else {}


@dataclass(frozen=True)
class Gain:
    """A recipe's best throughput over the baseline's best, and its place among the recipes of its run."""

    ratio: float
    place: int


@dataclass(frozen=True)
class Across:
    """What is said of several runs.

    Attributes:
        runs: their names.
        headings: of the answers; the first `TEXT_COLUMNS` are no numbers.
        answers: a line for each run.
        headlines: the first sentence of each run's own answer.
        gains: by recipe, one for each run, none where the run has no such figure.
        moves: a sentence for each recipe that ranks differently.

    """

    runs: tuple[str, ...]
    headings: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    headlines: tuple[str, ...]
    gains: Mapping[str, tuple[Gain | None, ...]]
    moves: tuple[str, ...]


TEXT_COLUMNS = 4


def across(runs: Sequence[Run], prices: Prices | None = None) -> Across:
    """Hold the runs against each other.

    Raises:
        InputError: prices of a folder that is not among the runs.

    """
    if prices and (unknown := sorted({*prices.per_hour} - {run.name for run in runs})):
        raise InputError(f"--prices: no results folder is called '{unknown[0]}'")
    headings = (
        "results",
        "model",
        "machine",
        "deploy",
        "images/s",
        "over the baseline",
        "top-1 lost (points)",
    )
    return Across(
        runs=tuple(run.name for run in runs),
        headings=(*headings, *([f"million images per {prices.currency}"] if prices else [])),
        answers=tuple(tuple(_answer(run, prices)) for run in runs),
        headlines=tuple(headline(run.sweep) for run in runs),
        gains=_gains(runs),
        moves=tuple(_moves(runs)),
    )


def _answer(run: Run, prices: Prices | None) -> list[str]:
    row, sweep = run.sweep.chosen, run.sweep
    told = [run.name, run.model, run.machine]
    if row is None:
        return [*told, "no recommendation", *[MISSING] * (4 if prices else 3)]
    drop, decision = sweep.fact(row.recipe, "accuracy_drop_pp"), sweep.decision
    confirmed = decision.winner is not None and decision.winner.key == row.key
    again, ratio = (decision.winner_images_per_s, decision.against_best) if confirmed else (None, None)
    speed = again or throughput(row)  # by fresh rounds where there are some, as the headline
    told += [
        f"{row.recipe} at batch {row.batch_size}",
        short(speed),
        times(ratio.value) if ratio else MISSING,
        MISSING if drop is None else f"{drop[0]:.2f}",
    ]
    if prices:
        price = prices.per_hour.get(run.name)
        told.append(short(speed * HOUR_S / price / 1e6) if price else MISSING)
    return told


def _gains(runs: Sequence[Run]) -> dict[str, tuple[Gain | None, ...]]:
    names = dict.fromkeys(recipe for run in runs for recipe in run.sweep.recipes if recipe in run.gains)
    places = [_places(run.gains) for run in runs]
    return {
        name: tuple(
            Gain(run.gains[name], place[name]) if name in run.gains else None
            for run, place in zip(runs, places, strict=True)
        )
        for name in names
    }


def _places(gains: Mapping[str, float]) -> dict[str, int]:
    """1 for the highest."""
    return {name: number for number, name in enumerate(sorted(gains, key=lambda one: -gains[one]), start=1)}


def _moves(runs: Sequence[Run]) -> list[str]:
    """The recipes that move most places among those that all runs have, with what the roofline says of it."""
    shared = set.intersection(*({*run.gains} for run in runs)) if runs else set()
    places = [_places({name: gain for name, gain in run.gains.items() if name in shared}) for run in runs]
    moves = []
    for name in shared - {BASELINE}:
        own = [place[name] for place in places]
        first, last = own.index(min(own)), own.index(max(own))
        gains = (runs[first].gains[name], runs[last].gains[name])
        if own[last] - own[first] >= LEAST_MOVE and max(gains) >= UNLIKE * min(gains):
            moves.append((own[last] - own[first], name, first, last))
    return [
        f"{name} is number {places[first][name]} of {len(shared)} in {runs[first].name} and number "
        f"{places[last][name]} in {runs[last].name}: {_why(name, runs[first], runs[last])}."
        for _, name, first, last in sorted(moves, key=lambda move: (-move[0], move[1]))[:MOST_MOVES]
    ]


def _why(name: str, *runs: Run) -> str:
    """What the roofline says of a recipe that gains more in the first run than in the second."""
    rows = [next(row for row in run.sweep.best if row.recipe == name) for run in runs]
    precision, where = rows[0].precision, [run.name for run in runs]
    ratios = [ratio for run in runs if (ratio := _over_fp32(run, precision))]
    if precision != "float32" and len(ratios) == len(runs) and max(ratios) >= UNLIKE * min(ratios):
        told = joined([f"{times(ratio)} in {one}" for ratio, one in zip(ratios, where, strict=True)])
        return f"the ceiling of {called(precision)} over that of FP32 is {told}"
    places = [found for run, row in zip(runs, rows, strict=True) if (found := _place(run, row))]
    if len(places) < len(runs):
        return "no ceilings are known that could say why"
    told = joined(
        [
            f"{short(100 * found.share, 2)} % of its {found.kind} roof in {one}"
            for found, one in zip(places, where, strict=True)
        ]
    )
    return f"it reaches {told}"


def _over_fp32(run: Run, precision: str) -> float | None:
    """A precision's ceiling over that of FP32."""
    compute = run.sweep.ceilings.compute if run.sweep.ceilings else {}
    if precision not in compute or "float32" not in compute:
        return None
    return compute[precision].gop_per_s / compute["float32"].gop_per_s


def _place(run: Run, row: Row) -> Place | None:
    return place(row, run.sweep.ceilings) if run.sweep.ceilings else None
