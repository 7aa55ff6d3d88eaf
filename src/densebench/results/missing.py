"""What a row that ran can't tell: why figures are blank, in short phrases, and calls too short for the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from densebench.results.ceilings import Ceilings
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.stats.samples import samples_needed
from densebench.stats.speedup import CLEAR
from densebench.text import joined, short

PERCENTS = (50, 90, 95, 99)  # percentiles that a row has a column for
LEAST_STEPS = 100  # of the clock in one call: a step more or less is 1 % of it


@dataclass(frozen=True)
class Known:
    """What a run knows of its machine.

    Attributes:
        no_energy: why energy is not measured; nothing where a counter does.
        ceilings: of the machine, as they were surveyed; None where none are known.
        clock_step_us: the smallest step of the clock that times calls; None where nobody looked.

    """

    no_energy: str = ""
    ceilings: Ceilings | None = None
    clock_step_us: float | None = None


def clearly_faster(speedup: float | None, low: float | None) -> bool:
    """Whether a speed-up is more than 3 % and its interval excludes 1, so that a longer build can pay."""
    return speedup is not None and low is not None and low > 1 and speedup > 1 + CLEAR


def why_blank(row: Row, known: Known | None) -> tuple[str, ...]:
    """A phrase for each kind of figure that is blank and doesn't explain itself, or that the clock is too coarse for.

    Without what is known of the machine there are none for what depends on it.
    """
    machine = _of_the_machine(row, known) if known else ()
    return (*_of_samples(row), *_of_the_baseline(row), *_of_the_program(row), *machine)


def _of_samples(row: Row) -> Iterator[str]:
    if row.streams > 1:
        yield f"no latency: {row.streams} batches are answered at once, and images per second are of all streams"
    else:
        yield from _of_percentiles(row)
    if row.throughput_samples_per_s is not None and row.throughput_ci_low is None:
        yield "intervals need two rounds, have one"


def _of_percentiles(row: Row) -> Iterator[str]:
    needed = {percent: samples_needed(percent) for percent in PERCENTS}
    blank = [percent for percent in PERCENTS if row.samples < needed[percent]]
    if len(blank) == 1:
        yield f"p{blank[0]} needs {needed[blank[0]]} batches, has {row.samples}"
    elif blank:
        first, last = blank[0], blank[-1]
        yield f"p{first} to p{last} need {needed[first]} to {needed[last]} batches, have {row.samples}"


def _of_the_baseline(row: Row) -> Iterator[str]:
    if row.recipe == BASELINE:
        return
    if row.speedup is None:
        yield "no speed-up: no baseline measured in the same rounds"
    elif row.break_even_images is None:
        clear = clearly_faster(row.speedup, row.speedup_ci_low)
        why = "a build time is not known" if clear else "not clearly faster than the baseline"
        yield f"no break-even: {why}"
    if row.accuracy_top1 is not None and row.accuracy_drop_pp is None:
        yield "no accuracy drop: the baseline's is not known"
    elif row.top1_agreement is not None and row.output_sqnr_db is None:
        yield "no SQNR: the outputs equal the baseline's to the last bit, or are not finite"
    if row.agreement_images is not None:
        less = ", which says less than real ones would" if row.agreement_on_noise else ""
        yield f"agreement with the baseline is on {row.agreement_on}{less}"


def _of_the_program(row: Row) -> Iterator[str]:
    """Why figures of the fresh interpreter that runs the README's code are blank."""
    figures = {
        "start": row.deploy_start_s,
        "memory": row.deploy_memory_mb,
        "throughput": row.deploy_throughput_samples_per_s,
    }
    if blank := [name for name, value in figures.items() if value is None]:
        yield f"no deploy {joined(blank)}: {row.deploy_reason or 'not measured'}"


def _of_the_machine(row: Row, known: Known) -> Iterator[str]:
    if row.timed_processes and known.clock_step_us:
        call_us = 1000 * median(row.all_samples_ms)
        if call_us < LEAST_STEPS * known.clock_step_us:
            yield f"calls of {short(call_us)} us are shorter than {LEAST_STEPS} steps of the clock"
    if row.roofline_fraction is None:
        yield f"no roofline fraction: {_without_ceiling(row, known)}"
    if row.energy_j_per_image is None:
        yield f"no energy: {known.no_energy or 'below what the counter can tell from idling'}"


def _without_ceiling(row: Row, known: Known) -> str:
    if known.ceilings is None:
        return "no ceiling is known here"
    if row.macs_g is None:
        return "its multiplications were not counted"
    if row.threads != known.ceilings.threads:
        return f"the ceilings are of {known.ceilings.threads} threads"
    return f"no ceiling in {row.precision or 'its precision'} here"
