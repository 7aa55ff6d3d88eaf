"""The first sentence of the answer: one for each kind of outcome, in words that its own evidence supports."""

from __future__ import annotations

from densebench.decision import Choice, Decision
from densebench.decision.objective import SPEEDS, column_of
from densebench.report import no_recommendation
from densebench.report.by_batch_size import by_batch_size
from densebench.report.quoting import both, placed, ratio, rounds, speeds, within_limits
from densebench.report.refusals import accuracy_of, measured
from densebench.report.sweep import Sweep
from densebench.spec import BASELINE
from densebench.text import batches, joined, short


def headline(sweep: Sweep) -> str:
    """What to deploy, or why nothing is recommended."""
    told = _HEADLINES[sweep.decision.outcome](sweep, sweep.decision)
    return " ".join(filter(None, (told, _narrowed(sweep))))


def _narrowed(sweep: Sweep) -> str:
    """That a limit of memory shut out batch sizes, where it did."""
    sizes = sweep.decision.narrowed_to
    if not sizes:
        return ""
    more = (
        "; a run with --serving-batch-size N measures it at batch N" if sweep.rows[0].device == "cpu" else ""
    )
    return f"Memory was measured at {batches(sizes)} only, so no other batch size was considered{more}."


def _deploy(sweep: Sweep, decision: Decision) -> str:
    winner, baseline = both(decision)
    tell = {"throughput": _images, "latency": _latency, "memory": _memory, "size": _size}[decision.objective]
    gain = tell(sweep, decision, winner, baseline)
    if not decision.baseline_within:
        missed = [one for one in decision.reasons if one.recipe == BASELINE]
        known = any(one.value is not None for one in missed)
        what = "breaks a limit" if known else "is not known to keep the limits"
        gain += f" (the baseline {what}: {joined([measured(one) for one in missed])})"
    return f"Deploy {placed(winner)}: {gain}; {accuracy_of(sweep, winner.recipe)}."


def _images(sweep: Sweep, decision: Decision, winner: Choice, baseline: Choice) -> str:
    del sweep
    pair = speeds(decision.winner_images_per_s, decision.baseline_images_per_s)
    at = f"baseline at its best batch size{within_limits(decision)}, {baseline.batch_size}"
    if winner.batch_size == baseline.batch_size:
        at = "baseline at the same batch size"
    again = f"measured again {rounds(decision)}"
    return f"{ratio(decision.against_best)} the images per second of the {at}{pair}, {again}"


def _latency(sweep: Sweep, decision: Decision, winner: Choice, baseline: Choice) -> str:
    del sweep
    taken = [
        None if images is None else 1000 * one.batch_size / images
        for images, one in (
            (decision.winner_images_per_s, winner),
            (decision.baseline_images_per_s, baseline),
        )
    ]
    mean = ""
    if taken[0] is not None and taken[1] is not None:
        mean = f" ({short(taken[0])} against {short(taken[1])} ms a batch on average)"
    return (
        f"{ratio(decision.against_best)} the speed of the baseline{mean}, measured again {rounds(decision)}"
    )


def _memory(sweep: Sweep, decision: Decision, winner: Choice, baseline: Choice) -> str:
    column = column_of("memory", sweep.rows[0].device)
    kind = "of GPU memory" if column.startswith("vram") else "of memory in a program of its own"
    return f"{_against(winner, baseline, kind)}; {_speed_cost(decision, winner)}"


def _size(sweep: Sweep, decision: Decision, winner: Choice, baseline: Choice) -> str:
    del sweep
    return f"{_against(winner, baseline, 'on disk')}; {_speed_cost(decision, winner)}"


def _against(winner: Choice, baseline: Choice, kind: str) -> str:
    base = "" if baseline.figure is None else f", against {short(baseline.figure)} MB with the baseline"
    return f"{short(winner.figure)} MB {kind}{base}"


def _speed_cost(decision: Decision, winner: Choice) -> str:
    where = f"at batch {winner.batch_size} it runs at"
    if decision.at_same_size is None:
        return f"{where} {ratio(decision.in_sweep)} the baseline's speed in the sweep"
    return f"{where} {ratio(decision.at_same_size)} the baseline's speed, measured again {rounds(decision)}"


def _at_batch_size(sweep: Sweep, decision: Decision) -> str:
    winner, baseline = both(decision)
    speed = decision.baseline_images_per_s
    images = "" if speed is None else f" ({short(speed)} images/s)"
    return (
        f"At batch {winner.batch_size} deploy {winner.recipe}: {ratio(decision.at_same_size)} the baseline's speed "
        f"there, measured again {rounds(decision)}; {accuracy_of(sweep, winner.recipe)}. For the most images per "
        f"second deploy the baseline at batch {baseline.batch_size}{images}: measured again, "
        f"{_not_faster(decision)} not faster than that. {by_batch_size(sweep, decision)}"
    )


def _not_faster(decision: Decision) -> str:
    names = [one.recipe for one in (decision.winner, decision.runner_up) if one is not None]
    return f"{joined(names)} {'are' if len(names) > 1 else 'is'}"


def _keep(sweep: Sweep, decision: Decision) -> str:
    baseline = decision.baseline
    assert baseline is not None, "there is a baseline to keep"
    doubt = ""
    if decision.unclear:
        names = joined(decision.unclear)
        doubt = f" Some intervals of {names} are too wide to tell; more rounds (--rounds) narrow them."
    if decision.by_batch_size and decision.objective in SPEEDS:
        return (
            f"At batch {baseline.batch_size} no recipe within the limits is {_wanted(decision)} the baseline. "
            f"{by_batch_size(sweep, decision)}{doubt}"
        )
    if decision.objective not in SPEEDS:
        return f"{_nothing_leaner(sweep, decision)}{doubt}"
    rate = sweep.row_of(baseline)
    speed = f" ({short(rate.throughput_samples_per_s)} images/s)" if rate is not None else ""
    one = (
        decision.limits.serving_batch_size is not None or len(decision.narrowed_to or sweep.batch_sizes) == 1
    )
    where = "there" if one else "at any batch size that was measured"
    return (
        f"Keep the baseline at batch {baseline.batch_size}{speed}: no recipe within the limits is seen to "
        f"be faster {where}.{doubt}"
    )


def _nothing_leaner(sweep: Sweep, decision: Decision) -> str:
    """For memory and size: the baseline is the answer, unless speed counts too and some recipe is faster."""
    none = "no recipe within the limits is"
    if not decision.by_batch_size:
        return f"Keep the baseline: {none} {_wanted(decision)} it without being slower."
    return (
        f"By {decision.objective} {none} {_wanted(decision)} the baseline without being slower. By speed there is "
        f"more to gain (--objective throughput). {by_batch_size(sweep, decision)}"
    )


def _wanted(decision: Decision) -> str:
    words = {"throughput": "faster than", "latency": "faster than"}
    return words.get(
        decision.objective, "smaller than" if decision.objective == "size" else "leaner in memory than"
    )


_HEADLINES = {
    "deploy": _deploy,
    "at_batch_size": _at_batch_size,
    "keep_baseline": _keep,
    "not_confirmed": no_recommendation.not_confirmed,
    "unconfirmed": no_recommendation.unconfirmed,
    "too_few_images": no_recommendation.too_few_images,
    "accuracy_not_judged": no_recommendation.not_judged,
    "no_limit_met": no_recommendation.no_limit_met,
    "no_figure": no_recommendation.no_figure,
    "no_intervals": no_recommendation.no_intervals,
    "no_baseline": no_recommendation.no_baseline,
    "nothing_to_compare": no_recommendation.alone,
    "nothing_timed": no_recommendation.nothing,
}
