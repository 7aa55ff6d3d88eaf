"""Several results folders in one report: the best recipe of each, and where a recipe ranks differently."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from densebench.errors import InputError
from densebench.report.headline import headline
from densebench.report.roofs import Place, place
from densebench.report.sweep import Sweep, throughput
from densebench.report.tables import MISSING, escape, table
from densebench.results.ceilings import called
from densebench.results.record import Row
from densebench.schema import Frozen
from densebench.spec import BASELINE
from densebench.text import joined, short, times

LEAST_MOVE = 2  # places that a recipe must move between two runs to be named
MOST_MOVES = 5  # recipes that are named
UNLIKE = 1.25  # quotient of two ceilings, or of two recipes' gains, from which they differ
HOUR_S = 3600
GAINS = "By the rows of each sweep: best throughput over the baseline's best, each at its own batch size; the place."


class Prices(Frozen):
    """What an hour of each run's machine costs.

    Attributes:
        currency: its name, as it is printed.
        per_hour: by the name of the results folder.

    """

    model_config = ConfigDict(extra="forbid")
    currency: str = Field(min_length=1, max_length=8)
    per_hour: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


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


def read_prices(path: Path) -> Prices:
    """Prices from a TOML file: `currency = "EUR"` and a table `[per_hour]`.

    Raises:
        InputError: it can't be read, or isn't such a file.

    """
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"--prices {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--prices {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"--prices {path}: {where}: {first['msg'].lower()}") from None


def across(runs: Sequence[Run], prices: Prices | None = None) -> str:
    """The report in Markdown.

    Raises:
        InputError: prices of a folder that is not among the runs.

    """
    if prices and (unknown := sorted({*prices.per_hour} - {run.name for run in runs})):
        raise InputError(f"--prices: no results folder is called '{unknown[0]}'")
    sections = [
        "# Which optimization to deploy, over several models and machines",
        f"## The best of each\n\n{_answers(runs, prices)}",
        "\n\n".join(f"**{escape(run.name)}**: {escape(headline(run.sweep))}" for run in runs),
        f"## Recipe by recipe\n\n{GAINS}\n\n{_gains(runs)}",
        f"## Where recipes rank differently\n\n{_moves(runs)}",
    ]
    return "\n\n".join(sections) + "\n"


def _answers(runs: Sequence[Run], prices: Prices | None) -> str:
    """A line for each run."""
    headings = [
        "results",
        "model",
        "machine",
        "deploy",
        "images/s",
        "over the baseline",
        "top-1 lost (points)",
    ]
    if prices:
        headings.append(f"million images per {escape(prices.currency)}")
    return table(headings, [_line(run, prices) for run in runs], text_columns=4)


def _line(run: Run, prices: Prices | None) -> list[str]:
    row, sweep = run.sweep.chosen, run.sweep
    told = [escape(run.name), escape(run.model), escape(run.machine)]
    if row is None:
        return [*told, "no recommendation", *[MISSING] * (4 if prices else 3)]
    drop, decision = sweep.fact(row.recipe, "accuracy_drop_pp"), sweep.decision
    confirmed = decision.winner is not None and decision.winner.key == row.key
    again, ratio = (decision.winner_images_per_s, decision.against_best) if confirmed else (None, None)
    speed = again or throughput(row)  # by fresh rounds where there are some, as the headline
    told += [
        f"{escape(row.recipe)} at batch {row.batch_size}",
        short(speed),
        times(ratio.value) if ratio else MISSING,
        MISSING if drop is None else f"{drop[0]:.2f}",
    ]
    if prices:
        price = prices.per_hour.get(run.name)
        told.append(short(speed * HOUR_S / price / 1e6) if price else MISSING)
    return told


def _gains(runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(recipe for run in runs for recipe in run.sweep.recipes))
    places = [_places(run.gains) for run in runs]
    lines = [
        [
            escape(name),
            *(
                f"{times(run.gains[name])} ({place[name]})" if name in run.gains else MISSING
                for run, place in zip(runs, places, strict=True)
            ),
        ]
        for name in names
    ]
    return table(["recipe", *(escape(run.name) for run in runs)], lines)


def _places(gains: Mapping[str, float]) -> dict[str, int]:
    """1 for the highest."""
    return {name: number for number, name in enumerate(sorted(gains, key=lambda one: -gains[one]), start=1)}


def _moves(runs: Sequence[Run]) -> str:
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
    told = [
        f"- {escape(name)} is number {places[first][name]} of {len(shared)} in {escape(runs[first].name)} and number "
        f"{places[last][name]} in {escape(runs[last].name)}: {_why(name, runs[first], runs[last])}."
        for _, name, first, last in sorted(moves, key=lambda move: (-move[0], move[1]))[:MOST_MOVES]
    ]
    return "\n".join(told) or "No recipe moves by two places or more and differs clearly in its gain."


def _why(name: str, *runs: Run) -> str:
    """What the roofline says of a recipe that gains more in the first run than in the second."""
    rows = [next(row for row in run.sweep.best if row.recipe == name) for run in runs]
    precision, where = rows[0].precision, [escape(run.name) for run in runs]
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
