"""Rows from records: what follows from the samples, and from the baseline's record.

What was measured in different environments is never held against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from densebench.results.ceilings import Ceilings, raised, share
from densebench.results.missing import Known, clearly_faster, why_blank
from densebench.results.observation import Status
from densebench.results.record import Record, Row
from densebench.spec import BASELINE
from densebench.stats import proportion, samples, speedup

AnyRecord = TypeVar("AnyRecord", bound=Record)


def derive(
    records: Iterable[Record],
    order: Sequence[str] = (),
    only: tuple[str, int] | None = None,
    known: Known | None = None,
) -> list[Row]:
    """One row for each cell of each environment, recipe by recipe, the smallest batch first.

    A confirmation's records enter no row.

    Args:
        records: of several records of one cell the last one counts (a resumed run measured it again).
        order: names of recipes. The baseline comes before them, others after, in the order of their first record.
        only: the one cell to give a row of, where the others aren't asked for.
        known: of the machine; without it rows don't say why figures that depend on the machine are blank.

    """
    kept = [record for record in records if record.stage == "sweep"]
    names = dict.fromkeys((BASELINE, *order, *(record.recipe for record in kept)))
    places = {name: place for place, name in enumerate(names)}
    apart = by_environment(kept).values()
    ceilings = known.ceilings if known and len(apart) == 1 else None  # of which environment isn't known
    rows = [row for own in apart for row in _of_one_environment(own, only, known, ceilings)]
    return sorted(rows, key=lambda row: places[row.recipe])


def _of_one_environment(
    records: Sequence[Record], only: tuple[str, int] | None, known: Known | None, ceilings: Ceilings | None
) -> list[Row]:
    latest = {record.key: record for record in records}
    baselines = {r.batch_size: r for r in latest.values() if r.recipe == BASELINE and r.status is Status.OK}
    evaluated = (r for r in latest.values() if r.recipe == BASELINE and r.accuracy_top1 is not None)
    reference = next(evaluated, None)  # before it was timed, so also where that failed
    wanted = [record for key, record in latest.items() if only in (None, key)]
    rows = [
        _derive(record, baselines.get(record.batch_size), reference)
        for record in sorted(wanted, key=lambda record: record.batch_size)
    ]
    if ceilings is not None:
        ceilings = raised(ceilings, rows)
        rows = [_under(row, ceilings) for row in rows]
    return [_explained(row, known) for row in rows]


def by_environment(records: Iterable[AnyRecord]) -> dict[str, list[AnyRecord]]:
    """The records or rows of each environment, in the order of their first one."""
    found: dict[str, list[AnyRecord]] = {}
    for record in records:
        found.setdefault(record.environment_id, []).append(record)
    return found


def _derive(record: Record, baseline: Record | None, reference: Record | None) -> Row:
    facts = _speed(record, baseline) if record.timed_processes else {}
    if record.accuracy_top1 is not None:
        facts |= _accuracy(record, reference)
    return Row.model_validate(record.model_dump() | facts)


def _under(row: Row, ceilings: Ceilings) -> Row:
    """The row with its share of a ceiling, which holds for as many threads as it was measured with."""
    same = row.threads == ceilings.threads
    found = share(row.macs_g, row.throughput_samples_per_s, row.precision, ceilings) if same else None
    return row.model_copy(update={"roofline_fraction": found})


def _explained(row: Row, known: Known | None) -> Row:
    """The row, where it ran, with why figures are blank."""
    return row.model_copy(update={"blank": why_blank(row, known)}) if row.status is Status.OK else row


def _speed(record: Record, baseline: Record | None) -> dict[str, object]:
    latencies = record.all_samples_ms if record.streams == 1 else ()
    throughput = speedup.throughput(record.processes_by_round, record.batch_size)
    facts: dict[str, object] = {
        "latency_mean_ms": samples.mean(latencies) if latencies else None,
        "latency_p50_ms": samples.percentile(latencies, 50),
        "latency_p90_ms": samples.percentile(latencies, 90),
        "latency_p95_ms": samples.percentile(latencies, 95),
        "latency_p99_ms": samples.percentile(latencies, 99),
        "throughput_samples_per_s": throughput.value,
        "throughput_ci_low": throughput.low,
        "throughput_ci_high": throughput.high,
        "samples": len(record.all_samples_ms),
        "processes": len(record.timed_processes),
    }
    if record.recipe == BASELINE:
        return facts | {"speedup": 1.0}
    if baseline is None:  # of its rounds some may be known, but not all processes that it is the mean of
        return facts
    ratio = speedup.speedup(record.processes_by_round, baseline.processes_by_round)
    if ratio is None:
        return facts
    return facts | {
        "speedup": ratio.value,
        "speedup_ci_low": ratio.low,
        "speedup_ci_high": ratio.high,
        "verdict": speedup.verdict(ratio),
        "break_even_images": _break_even(record, baseline, ratio, 1 / throughput.value),
    }


def _break_even(record: Record, baseline: Record, ratio: speedup.Estimate, image_s: float) -> int | None:
    """Images after which the build's time beyond the baseline's is saved again; None where nothing is saved."""
    if record.build_s is None or baseline.build_s is None:
        return None
    if not clearly_faster(ratio.value, ratio.low):
        return None
    saved_s = (ratio.value - 1) * image_s
    return math.ceil(round(max(0.0, record.build_s - baseline.build_s) / saved_s, 3))


def _accuracy(record: Record, reference: Record | None) -> dict[str, object]:
    own = record.correct_top1
    facts: dict[str, object] = {}
    if own:
        low, high = proportion.share_interval(own.count("1"), len(own))
        facts |= {"accuracy_top1_ci_low": 100 * low, "accuracy_top1_ci_high": 100 * high}
    if reference is None or reference.accuracy_top1 is None or record.accuracy_top1 is None:
        return facts
    facts["accuracy_drop_pp"] = reference.accuracy_top1 - record.accuracy_top1
    if record.recipe == BASELINE or not own or len(reference.correct_top1) != len(own):
        return facts
    lost, won = proportion.discordant(reference.correct_top1, own)
    return facts | {
        "images_lost": lost,
        "images_won": won,
        "accuracy_drop_ci_high_pp": 100 * proportion.drop_at_most(lost, won, len(own)),
        "accuracy_drop_p": proportion.no_difference_p(lost, won),
    }
