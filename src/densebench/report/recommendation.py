"""The one sentence that a reader came for: the fastest recipe that keeps the accuracy, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from densebench.record import BASELINE, Row
from densebench.report.sweep import (
    Finding,
    Sweep,
    apply,
    change,
    finding,
    gap,
    overlapping,
    throughput,
    without_effect,
)
from densebench.stats.comparison import CLEAR
from densebench.wording import duration, joined, points, short, times


def recommendation_of(rows: Sequence[Row], max_accuracy_drop: float = 1.0) -> str:
    """What to deploy, as plain text for the console.

    Args:
        rows: a run's rows, failed and skipped ones too.
        max_accuracy_drop: what a recommended recipe may lose of top-1, in percentage points.

    """
    sweep = Sweep(tuple(rows), max_accuracy_drop)
    return " ".join(one.sentence for group in recommendations(sweep) for one in group) or no_recommendation(
        sweep
    )


def no_recommendation(sweep: Sweep) -> str:
    """Why nothing is recommended."""
    if not sweep.timed:
        return "No recommendation: no row was timed."
    limit = points(sweep.max_accuracy_drop)
    return (
        "No recommendation: nothing was timed that does what it is named for and is seen to lose no more than "
        f"{limit} of top-1."
    )


def recommendations(sweep: Sweep) -> list[list[Finding]]:
    """What `recommend` says, environment by environment; nothing of one where nothing was timed."""
    groups = [apply((recommend,), part) for part in sweep.parts]
    return [group for group in groups if group]


def recommend(sweep: Sweep) -> list[Finding]:
    """What to deploy, the runner-up, and what speaks for and against it; nothing if nothing was timed."""
    chosen = choose(sweep)
    if chosen is None:
        return []
    found = [finding("recommendation", _choice(chosen, sweep), [chosen])]
    others = [row for row in sweep.candidates if row is not chosen]
    if others:
        found.append(finding("recommendation", _runner_up(chosen, others[0]), [chosen, others[0]]))
    details, evidence = [], [chosen]
    sooner = _sooner(chosen, sweep)
    if sooner is not None:
        median = f"median {short(sooner.latency_p50_ms)} ms"
        details.append(f"At batch {sooner.batch_size}, {sooner.recipe} answers sooner ({median}).")
        evidence.append(sooner)
    if costs := _costs(chosen, sweep):
        details.append(f"{chosen.recipe if sooner else 'It'} costs {costs}.")
    details += [f"Note: {caveat.rstrip('.')}." for caveat in chosen.caveats]
    if chosen.stable is False:
        details.append("Its figures were disturbed while measuring.")
    return [*found, finding("recommendation", " ".join(details), evidence)] if details else found


def choose(sweep: Sweep) -> Row | None:
    """The best row of the recipe to deploy: the fastest that keeps the accuracy and clearly beats the baseline.

    None where nothing was timed, and of several environments, each of which has its own.
    """
    if len(sweep.parts) > 1 or not sweep.candidates:
        return None
    base = next((row for row in sweep.candidates if row.recipe == BASELINE), None)
    if base is None:
        return sweep.candidates[0]
    faster = (row for row in sweep.candidates if throughput(row) > (1 + CLEAR) * throughput(base))
    # its fastest row may be at a batch size that was measured less closely than another one
    clear = (row for row in faster if any(change(other) == "faster" for other in sweep.of(row.recipe)))
    return next(clear, base)


def faster_but_refused(sweep: Sweep) -> Iterator[Finding]:
    """Recipes faster than the one to deploy that lose too much, or whose loss is not known, or that had no effect."""
    chosen = choose(sweep)
    if chosen is None:
        return
    for row in sweep.best:
        if row in sweep.candidates or throughput(row) <= throughput(chosen):
            continue
        drop, most = sweep.fact(row.recipe, "accuracy_drop_pp"), sweep.dropped(row.recipe)
        why = "is not seen to keep the accuracy"
        if without_effect(row):
            why = "does not do here what it is named for"
        elif drop and most:
            why = _lost(drop[0], most[0], sweep.max_accuracy_drop)
        speed = f"{short(throughput(row))} images/s at batch {row.batch_size}"
        clear = "may be" if overlapping(row, chosen) or change(row) == "unclear" else "is"
        yield finding(
            "accuracy for speed",
            f"{row.recipe} {clear} faster than {chosen.recipe} ({speed}) but {why}.",
            [row, chosen],
        )


def _lost(drop_pp: float, most_pp: float, limit_pp: float) -> str:
    """What a refused recipe loses, or may lose where only too few images speak against it."""
    if drop_pp <= limit_pp + 1e-9 < most_pp:  # 99.4 - 98.4 must count as 1
        return (
            f"may lose up to {most_pp:.2f} percentage points of top-1, which {_moved(drop_pp)} as measured: too few "
            "images to tell with 95 % confidence"
        )
    bound = f" (up to {most_pp:.2f} with 95 % confidence)" if most_pp > drop_pp else ""
    return f"loses {drop_pp:.2f} percentage points of top-1{bound}"


def _sooner(chosen: Row, sweep: Sweep) -> Row | None:
    """A recipe that may be recommended and clearly answers sooner at the smallest batch size."""
    smallest = min(sweep.batch_sizes)
    allowed = {row.recipe for row in sweep.candidates}
    medians = {
        row.recipe: (row.latency_p50_ms, row)
        for row in sweep.at(smallest)
        if row.recipe in allowed and row.latency_p50_ms is not None
    }
    if chosen.recipe not in medians:
        return None
    least, row = min(medians.values(), key=lambda pair: pair[0])
    return row if least < (1 - CLEAR) * medians[chosen.recipe][0] else None


def _choice(chosen: Row, sweep: Sweep) -> str:
    speed = f"{short(throughput(chosen))} images/s at batch {chosen.batch_size}"
    if chosen.recipe == BASELINE:
        among = "that keeps the accuracy " if sweep.judged else ""
        return f"Keep the baseline ({speed}): no recipe {among}was clearly faster."
    gain = f", {times(chosen.speedup)} the baseline" if chosen.speedup is not None else ""
    if chosen.speedup_ci_low is not None:
        gain += f" ({times(chosen.speedup_ci_low)} to {times(chosen.speedup_ci_high)} with 95 % confidence)"
    return f"Deploy {chosen.recipe}: {speed}{gain}; {_accuracy(chosen, sweep)}."


def _accuracy(chosen: Row, sweep: Sweep) -> str:
    if dropped := sweep.fact(chosen.recipe, "accuracy_drop_pp"):
        most = chosen.accuracy_drop_ci_high_pp
        bound = "" if most is None else f" (a loss of at most {most:.2f} with 95 % confidence)"
        return f"its top-1 {_moved(dropped[0])}{bound}, within the limit of {points(sweep.max_accuracy_drop)}"
    if agreeing := sweep.fact(chosen.recipe, "top1_agreement"):
        differ = f"{100 * (1 - agreeing[0]):.2f} % of the images"
        return f"its accuracy was not measured, its first guess differs from the baseline's on {differ}"
    if own := sweep.fact(chosen.recipe, "accuracy_top1"):
        return f"its top-1 is {own[0]:.2f} %, and the baseline's is not known, so check that first"
    return "its accuracy was not measured, so check it first"


def _moved(drop_pp: float) -> str:
    """Where a top-1 went."""
    loss = round(drop_pp, 2)
    return f"falls by {loss:.2f}" if loss > 0 else f"rises by {-loss:.2f}" if loss < 0 else "stays"


def _runner_up(chosen: Row, other: Row) -> str:
    where = "" if other.batch_size == chosen.batch_size else f" at batch {other.batch_size}"
    more = throughput(other) > throughput(chosen)
    told = (
        f"with {short(throughput(other))} images/s{where} ({gap(chosen, other, 'more' if more else 'less')})"
    )
    if throughput(other) > (1 + CLEAR) * throughput(chosen) and change(other) == "unclear":
        return f"{other.recipe} may be faster, {told}, but it is not clearly faster than the baseline."
    return f"Next is {other.recipe} {told}."


def _costs(chosen: Row, sweep: Sweep) -> str:
    costs = []
    if build := sweep.fact(chosen.recipe, "build_s"):
        costs.append(f"{duration(build[0])} to build")
    if size := sweep.fact(chosen.recipe, "model_size_mb"):
        costs.append(f"{short(size[0])} MB on disk{_against(size[0], sweep.fact(BASELINE, 'model_size_mb'))}")
    for figure, kind in (("vram_driver_peak_mb", "GPU memory"), ("host_memory_peak_mb", "memory")):
        if (value := getattr(chosen, figure)) is not None:
            costs.append(f"{value:.0f} MB of peak {kind}")
            break
    return joined(costs)


def _against(value: float, base: tuple[float, Row] | None) -> str:
    return "" if base is None or base[0] == value else f" (baseline {short(base[0])} MB)"
