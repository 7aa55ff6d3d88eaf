"""The answer's first sentence where nothing is recommended: why, and what would change that."""

from __future__ import annotations

from densebench.decision import Decision
from densebench.decision.objective import SPEEDS, column_of
from densebench.report.by_batch_size import elsewhere
from densebench.report.quoting import CONFIDENT, best_word, both, gain, placed, ratio, rounds
from densebench.report.refusals import misses, unmeasured
from densebench.report.sweep import Sweep
from densebench.spec import BASELINE
from densebench.text import joined, points, short


def not_confirmed(sweep: Sweep, decision: Decision) -> str:
    """The sweep's winner, what fresh rounds made of it, and where the sweep saw other recipes to be faster."""
    return " ".join(filter(None, (_refused(decision), elsewhere(sweep, decision))))


def _refused(decision: Decision) -> str:
    winner, _ = both(decision)
    if decision.against_best is None:
        broke = "was the best of the sweep, and broke when it was measured again"
        return f"No recipe is recommended: {placed(winner)} {broke}."
    same, best = decision.at_same_size, decision.against_best
    where, failed = "its best batch size", best
    if same is not None and same.p > best.p:
        where, failed = f"batch {winner.batch_size}", same
    asked = (
        "too little to be sure at the level of 1 %"
        if decision.objective in SPEEDS
        else "slower than is allowed"
    )
    return (
        f"No recipe is recommended: {placed(winner)} was the best in the sweep ({ratio(decision.in_sweep)} the "
        f"baseline's speed there), and measured again {rounds(decision)} it runs at "
        f"{ratio(failed)} the speed of the baseline at {where}: {asked}."
    )


def unconfirmed(sweep: Sweep, decision: Decision) -> str:
    """The sweep's winner, and the command that confirms it."""
    winner, _ = both(decision)
    by = {"throughput": "images per second", "latency": "latency", "memory": "memory", "size": "size"}
    again = f" To confirm it, run: {sweep.confirm_command}" if sweep.confirm_command else ""
    if decision.baseline_broke:
        again = " The baseline broke when it was measured again."
    return (
        f"Not confirmed: {placed(winner)} has the best {by[decision.objective]} of the sweep within the limits, at "
        f"{ratio(decision.in_sweep)} the baseline's speed at that batch size. The best of many rows looks better "
        f"than it is, and no fresh rounds were measured for this one.{again}"
    )


def too_few_images(sweep: Sweep, decision: Decision) -> str:
    """The best recipe, and how many images would show that it keeps its accuracy."""
    winner, _ = both(decision)
    reason = sweep.doubt(winner.recipe)
    assert reason is not None, "the images are why it is not recommended"
    limit = points(decision.limits.max_accuracy_drop)
    lost, won = (sweep.fact(winner.recipe, name) for name in ("images_lost", "images_won"))
    changed = int(lost[0] + won[0]) if lost and won else 0
    seen = f"{decision.seen_images:,} images" if decision.seen_images else "the images"
    moved = "none became right or wrong" if not changed else f"{changed} became right or wrong"
    enough = "No number of images would be enough if the same share changed."
    if reason.images is not None:
        enough = f"About {reason.images:,} images would be enough if the same share changed."
    return (
        f"No recommendation yet: {placed(winner)} is {best_word(decision)}, at {gain(decision)}, but {seen} can't "
        f"show that it keeps its accuracy: {moved}, so it loses up to {reason.value:.2f} percentage points of top-1 "
        f"{CONFIDENT}, and the limit is {limit}. {enough}"
    )


def not_judged(sweep: Sweep, decision: Decision) -> str:
    """The best recipe where no accuracy is known: it is named, and not recommended."""
    winner, _ = both(decision)
    why = "no accuracy was measured"
    if sweep.fact(BASELINE, "accuracy_top1") is None and sweep.facts("accuracy_top1"):
        why = "the baseline's accuracy is not known"
    elif sweep.fact(BASELINE, "accuracy_top1") is not None:
        why = "its own accuracy is not known"
    same = sweep.fact(winner.recipe, "top1_agreement")
    guesses = ""
    if same:
        share, row = same
        guesses = f" Its first guess is the baseline's on {100 * share:.4g} % of {row.agreement_on}."
        if row.agreement_on_noise:
            guesses += " On random images that says less than on real ones."
    return (
        f"No recommendation, since {why}: the {best_word(decision)} recipe is {placed(winner)}, at {gain(decision)}."
        f"{guesses} Measure the accuracy on your own labelled images (--data DIR) before deploying it."
    )


def no_limit_met(sweep: Sweep, decision: Decision) -> str:
    """The nearest misses where nothing keeps the limits, and the figures that are missing."""
    del decision
    nearest, unknown = misses(sweep), unmeasured(sweep)
    told = f" Nearest: {joined(nearest)}." if nearest else ""
    if unknown:
        return (
            f"No recommendation: nothing is known to keep the limits, the baseline neither. {unknown}{told}"
        )
    return f"No recommendation: nothing that was measured keeps the limits, the baseline neither.{told}"


def no_figure(sweep: Sweep, decision: Decision) -> str:
    """What the objective compares was not measured."""
    column = column_of(decision.objective, sweep.rows[0].device)
    size = (
        min(sweep.batch_sizes)
        if decision.limits.serving_batch_size is None
        else decision.limits.serving_batch_size
    )
    return (
        f"No recommendation: {column}, which --objective {decision.objective} compares, is not known of the baseline "
        f"or of any recipe at batch {size}."
    )


def no_intervals(sweep: Sweep, decision: Decision) -> str:
    """One process a row tells nothing apart."""
    del decision
    if sweep.rounds > 1:
        return (
            "No recommendation: the run ended before any recipe had its rounds. --resume measures the rest."
        )
    return (
        "No recommendation: each figure comes from a single process, so nothing can be told apart. Three rounds or "
        "more (--rounds 3) give intervals."
    )


def no_baseline(sweep: Sweep, decision: Decision) -> str:
    """Nothing to compare with."""
    del sweep
    served = decision.limits.serving_batch_size
    where = "" if served is None else f" at batch {served}"
    return f"No recommendation: the baseline was not timed{where}, so there is nothing to compare with."


def alone(sweep: Sweep, decision: Decision) -> str:
    """Nothing to compare."""
    assert decision.baseline is not None, "the baseline was timed"
    row = sweep.row_of(decision.baseline)
    speed = f" ({short(row.throughput_samples_per_s)} images/s at batch {row.batch_size})" if row else ""
    return f"No recommendation: only the baseline was timed{speed}."


def nothing(sweep: Sweep, decision: Decision) -> str:
    """Nothing was timed."""
    del sweep, decision
    return "No recommendation: no row was timed."
