"""What a row that ran can't tell: why figures are blank, in short phrases, and calls too short for the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from densebench.record import BASELINE, Row
from densebench.stats.comparison import CLEAR
from densebench.stats.samples import samples_needed
from densebench.wording import short

PERCENTS = (50, 90, 95, 99)  # percentiles that a row has a column for
LEAST_STEPS = 100  # of the clock in one call: a step more or less is 1 % of it


@dataclass(frozen=True)
class Known:
    """What a run knows of its machine.

    Attributes:
        no_energy: why energy is not measured; nothing where a counter does.
        ceiling_threads: threads that the ceilings were measured with; None where none are known.
        precisions: those that have a ceiling.
        clock_step_us: the smallest step of the clock that times calls; None where nobody looked.

    """

    no_energy: str = ""
    ceiling_threads: int | None = None
    precisions: frozenset[str] = frozenset()
    clock_step_us: float | None = None


def clearly_faster(speedup: float | None, low: float | None) -> bool:
    """Whether a speed-up is more than 3 % and its interval excludes 1, so that a longer build can pay."""
    return speedup is not None and low is not None and low > 1 and speedup > 1 + CLEAR


def why_blank(row: Row, known: Known | None) -> tuple[str, ...]:
    """A phrase for each kind of figure that is blank and doesn't explain itself, or that the clock is too coarse for.

    Without what is known of the machine there are none for what depends on it.
    """
    return (*_of_samples(row), *_of_the_baseline(row), *(_of_the_machine(row, known) if known else ()))


def _of_samples(row: Row) -> Iterator[str]:
    needed = {percent: samples_needed(percent) for percent in PERCENTS}
    blank = [percent for percent in PERCENTS if row.samples < needed[percent]]
    if len(blank) == 1:
        yield f"p{blank[0]} needs {needed[blank[0]]} batches, has {row.samples}"
    elif blank:
        first, last = blank[0], blank[-1]
        yield f"p{first} to p{last} need {needed[first]} to {needed[last]} batches, have {row.samples}"
    if row.throughput_samples_per_s is not None and row.throughput_ci_low is None:
        yield "intervals need two rounds, have one"


def _of_the_baseline(row: Row) -> Iterator[str]:
    if row.recipe == BASELINE:
        return
    if row.speedup is None:
        yield "no speed-up: no baseline measured beside it"
    elif row.break_even_images is None:
        clear = clearly_faster(row.speedup, row.speedup_ci_low)
        why = "a build time is not known" if clear else "not clearly faster than the baseline"
        yield f"no break-even: {why}"
    if row.accuracy_top1 is not None and row.accuracy_drop_pp is None:
        yield "no accuracy drop: the baseline's is not known"
    elif row.top1_agreement is not None and row.output_sqnr_db is None:
        yield "no SQNR: the outputs equal the baseline's to the last bit, or are not finite"


def _of_the_machine(row: Row, known: Known) -> Iterator[str]:
    if row.samples_ms and known.clock_step_us:
        call_us = 1000 * median(row.all_samples_ms)
        if call_us < LEAST_STEPS * known.clock_step_us:
            yield f"calls of {short(call_us)} us are shorter than {LEAST_STEPS} steps of the clock"
    if row.roofline_fraction is None:
        yield f"no roofline fraction: {_without_ceiling(row, known)}"
    if row.energy_j_per_image is None:
        yield f"no energy: {known.no_energy or 'below what the counter can tell from idling'}"


def _without_ceiling(row: Row, known: Known) -> str:
    if known.ceiling_threads is None:
        return "no ceiling is known here"
    if row.macs_g is None:
        return "its multiplications were not counted"
    if row.threads != known.ceiling_threads:
        return f"the ceilings are of {known.ceiling_threads} threads"
    if row.precision not in known.precisions:
        return f"no ceiling in {row.precision or 'its precision'} here"
    return "no ceiling was known when it was measured"
