"""Rules about speed: who is fastest where, what changes nothing or slows down, what a larger batch brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from densebench.record import BASELINE, Row, recipes_in_order
from densebench.report.sweep import Finding, Sweep, change, finding, gap, overlapping, throughput
from densebench.stats.comparison import Verdict
from densebench.wording import batches, joined, short, spread, times

SATURATED = 0.95  # from this share of the best throughput on, a larger batch is not worth its latency


def overall(sweep: Sweep) -> Iterator[Finding]:
    """The highest throughput of the run, against the baseline's own best and the runner-up."""
    if len(sweep.best) < 2:
        return
    first, second = sweep.best[:2]
    base = next((row for row in sweep.best if row.recipe == BASELINE), None)
    sentence = f"Highest throughput: {first.recipe} with {_speed(first)}"
    if base is not None and first is not base:
        sentence += f", {_over(first, base)} the best of the baseline ({_speed(base)})"
    yield finding("throughput", f"{sentence}; the runner-up is {_behind(first, second)}.", sweep.best)


def by_batch_size(sweep: Sweep) -> Iterator[Finding]:
    """The fastest recipe at each batch size."""
    for size in sweep.batch_sizes:
        rows = sweep.at(size)
        first, base = rows[0], next((row for row in rows if row.recipe == BASELINE), None)
        sentence = f"At batch {size}, {first.recipe} is fastest with {short(throughput(first))} images/s"
        if first is base:
            sentence = (
                f"At batch {size}, nothing is faster than the baseline ({short(throughput(first))} images/s)"
            )
        elif base is not None:
            sentence += f", {_over(first, base)} the baseline ({short(throughput(base))} images/s)"
        if len(rows) == 1:
            yield finding("throughput", f"{sentence}; no other recipe was timed there.", rows)
        else:
            yield finding("throughput", f"{sentence}; next is {_behind(first, rows[1])}.", rows)


def latency(sweep: Sweep) -> Iterator[Finding]:
    """The lowest median latency at the smallest batch size, which is batch 1 in most runs."""
    for size in sweep.batch_sizes[:1]:
        timed = [(row.latency_p50_ms, row) for row in sweep.at(size) if row.latency_p50_ms is not None]
        ranked = sorted(timed, key=lambda pair: pair[0])
        if len(ranked) < 2:
            return
        (best, row), (next_best, runner_up) = ranked[:2]
        base = next(
            (f", against {short(ms)} ms for the baseline" for ms, r in ranked if r.recipe == BASELINE), ""
        )
        sentence = f"Lowest latency at batch {size}: {row.recipe} with a median of {short(best)} ms"
        sentence += "" if row.recipe == BASELINE else base
        yield finding(
            "latency",
            f"{sentence}; next is {runner_up.recipe} with {short(next_best)} ms.",
            (r for _, r in ranked),
        )


def no_difference(sweep: Sweep) -> Iterator[Finding]:
    """Cells within ±3 % of the baseline, with their whole interval where they have one."""
    return _judged(sweep, "same", "no difference", "No difference to the baseline's speed")


def too_noisy(sweep: Sweep) -> Iterator[Finding]:
    """Cells whose interval holds both a speed-up and none."""
    return _judged(sweep, "unclear", "noise", "Too noisy to tell from the baseline")


def slower(sweep: Sweep) -> Iterator[Finding]:
    """Cells that are slower than the baseline."""
    return _judged(sweep, "slower", "slower", "Slower than the baseline")


def _judged(sweep: Sweep, verdict: Verdict, topic: str, words: str) -> Iterator[Finding]:
    cells = [row for row in sweep.timed if row.recipe != BASELINE and change(row) == verdict]
    if cells:
        yield finding(topic, f"{words}: {_listed(cells)}.", cells)


def saturation(sweep: Sweep) -> Iterator[Finding]:
    """The smallest batch size that gives nearly all of a recipe's best throughput, and who falls after it."""
    groups: dict[tuple[int, str, bool], list[str]] = {}
    evidence: list[Row] = []
    for recipe in sweep.recipes:
        rows = sweep.of(recipe)
        if len(rows) < 2:
            continue
        enough = saturated(rows)
        sure = "is" if settled(enough, rows) else "may be"
        tried = max(row.batch_size for row in sweep.rows if row.recipe == recipe)
        groups.setdefault((enough.batch_size, sure, enough.batch_size == tried), []).append(recipe)
        evidence += rows
        peak, last = max(rows, key=throughput), rows[-1]
        less = 1 - throughput(last) / throughput(peak)
        if less > 2 * (1 - SATURATED) and not overlapping(peak, last):
            yield finding(
                "scaling",
                f"{recipe} gets slower with larger batches: {_speed(peak)}, but {_speed(last)} "
                f"({_percent(less)} less).",
                (peak, last),
            )
    for (size, sure, largest), recipes in sorted(groups.items()):
        still = ", the largest measured: more may be possible" if largest else ""
        yield finding(
            "scaling",
            f"Batch {size} {sure} enough for 95 % of the best throughput of {joined(recipes)}{still}.",
            (row for row in evidence if row.recipe in recipes),
        )


def saturated(rows: Sequence[Row]) -> Row:
    """The first of a recipe's timed rows, by batch size, that gives nearly all of its best throughput."""
    best = max(throughput(row) for row in rows)
    return next(row for row in rows if throughput(row) >= SATURATED * best)


def settled(enough: Row, rows: Sequence[Row]) -> bool:
    """Whether no other row can give much more, by the ends of the intervals; so too where there are none."""
    low = enough.throughput_ci_low
    highs = [row.throughput_ci_high for row in rows if row is not enough]
    return low is None or all(high is None or low >= SATURATED * high for high in highs)


def zeros(sweep: Sweep) -> Iterator[Finding]:
    """Weights that are zero and were not in the baseline, in recipes that are nowhere faster for it."""
    before, _ = sweep.fact(BASELINE, "zero_fraction") or (0.0, None)
    for share, row in sweep.facts("zero_fraction"):
        rows = sweep.of(row.recipe)
        changes = {change(one) for one in rows}
        if row.recipe == BASELINE or share < before + 0.01 or not rows or not changes <= {"same", "slower"}:
            continue
        yield finding(
            "zeros",
            f"Zeros alone make nothing faster: {_percent(share)} of the weights of {row.recipe} are zero, "
            f"and it runs at {_spread(rows)} the baseline's speed, since a dense kernel multiplies zeros "
            "like other numbers.",
            rows,
        )


def _speed(row: Row) -> str:
    return f"{short(throughput(row))} images/s at batch {row.batch_size}"


def _over(first: Row, base: Row) -> str:
    """How many times as fast, with what is known of it: rows of different batch sizes have no paired blocks."""
    if first.batch_size == base.batch_size and first.speedup is not None:
        own = (first.speedup_ci_low, first.speedup_ci_high)
        return times(first.speedup) + _ends(*own, "with 95 % confidence")
    low = _ratio(first.throughput_ci_low, base.throughput_ci_high)
    high = _ratio(first.throughput_ci_high, base.throughput_ci_low)
    return times(throughput(first) / throughput(base)) + _ends(low, high, "by the ends of both intervals")


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _ends(low: float | None, high: float | None, how: str) -> str:
    """` (2.80x to 3.21x how)`; nothing where there is no interval."""
    return "" if low is None or high is None else f" ({spread([low, high])} {how})"


def _behind(first: Row, second: Row) -> str:
    where = "" if second.batch_size == first.batch_size else f" at batch {second.batch_size}"
    how = gap(first, second, "behind")
    return f"{second.recipe} with {short(throughput(second))} images/s{where} ({how})"


def _percent(share: float) -> str:
    return f"{short(100 * share, 2)} %"


def _listed(rows: list[Row]) -> str:
    """`a at batches 1 and 8 (0.98x to 1.01x); b at batch 8 (1.00x)`."""
    owns = [[row for row in rows if row.recipe == recipe] for recipe in recipes_in_order(rows)]
    return "; ".join(
        f"{own[0].recipe} at {batches(row.batch_size for row in own)} ({_spread(own)})" for own in owns
    )


def _spread(rows: list[Row]) -> str:
    """The speed-ups of rows; those with a verdict but no speed-up have none to show."""
    ratios = [row.speedup for row in rows if row.speedup is not None]
    return spread(ratios) if ratios else "not compared"
