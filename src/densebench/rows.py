"""Rows from records: what follows from the samples, and from the baseline's record beside them.

What was measured in different environments is never held against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from densebench.blanks import Known, clearly_faster, why_blank
from densebench.record import BASELINE, Record, Row, Status
from densebench.stats import comparison, proportion, samples

AnyRecord = TypeVar("AnyRecord", bound=Record)


def derive(
    records: Iterable[Record],
    order: Sequence[str] = (),
    only: tuple[str, int] | None = None,
    known: Known | None = None,
) -> list[Row]:
    """One row for each cell of each environment, recipe by recipe, the smallest batch first.

    Args:
        records: of several records of one cell the last one counts (a resumed run measured it again).
        order: names of recipes. The baseline comes before them, others after, in the order of their first record.
        only: the one cell to give a row of, where the others aren't asked for.
        known: of the machine; without it rows don't say why figures that depend on the machine are blank.

    """
    kept = list(records)
    names = dict.fromkeys((BASELINE, *order, *(record.recipe for record in kept)))
    places = {name: place for place, name in enumerate(names)}
    rows = [row for own in by_environment(kept).values() for row in _of_one_environment(own, only, known)]
    return sorted(rows, key=lambda row: places[row.recipe])


def _of_one_environment(
    records: Sequence[Record], only: tuple[str, int] | None, known: Known | None
) -> list[Row]:
    latest = {record.key: record for record in records}
    baselines = {r.batch_size: r for r in latest.values() if r.recipe == BASELINE and r.status is Status.OK}
    evaluated = (r for r in latest.values() if r.recipe == BASELINE and r.accuracy_top1 is not None)
    reference = next(evaluated, None)  # before it was timed, so also where that failed
    wanted = [record for key, record in latest.items() if only in (None, key)]
    return [
        _explained(_derive(record, baselines.get(record.batch_size), reference), known)
        for record in sorted(wanted, key=lambda record: record.batch_size)
    ]


def by_environment(records: Iterable[AnyRecord]) -> dict[str, list[AnyRecord]]:
    """The records or rows of each environment, in the order of their first one."""
    found: dict[str, list[AnyRecord]] = {}
    for record in records:
        found.setdefault(record.environment_id, []).append(record)
    return found


def _derive(record: Record, baseline: Record | None, reference: Record | None) -> Row:
    facts = _speed(record, baseline) if record.samples_ms else {}
    if record.accuracy_top1 is not None:
        facts |= _accuracy(record, reference)
    return Row.model_validate(record.model_dump() | facts)


def _explained(row: Row, known: Known | None) -> Row:
    """The row, where it ran, with why figures are blank."""
    return row.model_copy(update={"blank": why_blank(row, known)}) if row.status is Status.OK else row


def _speed(record: Record, baseline: Record | None) -> dict[str, object]:
    latencies = record.all_samples_ms
    confidence = comparison.CONFIDENCE_LOOKED if record.adaptive else samples.CONFIDENCE
    throughput = comparison.throughput(record.blocks, record.batch_size, confidence)
    facts: dict[str, object] = {
        "latency_mean_ms": samples.mean(latencies),
        "latency_p50_ms": samples.percentile(latencies, 50),
        "latency_p90_ms": samples.percentile(latencies, 90),
        "latency_p95_ms": samples.percentile(latencies, 95),
        "latency_p99_ms": samples.percentile(latencies, 99),
        "throughput_samples_per_s": throughput.value,
        "throughput_ci_low": throughput.low,
        "throughput_ci_high": throughput.high,
        "samples": len(latencies),
        "processes": len(record.samples_ms),
    }
    if record.recipe == BASELINE:
        return facts | {"speedup": 1.0}
    if baseline is None:  # of its rounds some may be known, but not all processes that it is the mean of
        return facts
    speedup = comparison.speedup(record.blocks, baseline.blocks, confidence)
    if speedup is None:
        return facts
    return facts | {
        "speedup": speedup.value,
        "speedup_ci_low": speedup.low,
        "speedup_ci_high": speedup.high,
        "verdict": comparison.verdict(speedup),
        "break_even_images": _break_even(record, baseline, speedup, 1 / throughput.value),
    }


def _break_even(record: Record, baseline: Record, speedup: comparison.Estimate, image_s: float) -> int | None:
    """Images after which the build's time beyond the baseline's is saved again; None where nothing is saved."""
    if record.build_s is None or baseline.build_s is None:
        return None
    if not clearly_faster(speedup.value, speedup.low):
        return None
    saved_s = (speedup.value - 1) * image_s
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
