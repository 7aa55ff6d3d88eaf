"""Rules about speed: who is fastest where, what changes nothing or slows down, what a larger batch brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from densebench.report.sweep import Finding, Sweep, change, finding, gap, overlapping, throughput
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import MOST_NAMED, batches, joined, short, spread, times

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


_LED = {  # what stands in the way of a winner -> how it is told
    "": "{recipe} at {where} with {speeds}, {gain} the baseline",
    "uncompared": "{recipe} at {where} with {speeds}",
    "baseline": "nothing is faster than the baseline at {where} ({speeds})",
    "unclear": "nothing is clearly faster than the baseline at {where} (the highest figure is {recipe}'s, {speeds})",
}


def by_batch_size(sweep: Sweep) -> Iterator[Finding]:
    """Who is fastest at which batch sizes, in one sentence: whoever leads at several is named once."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for size in sweep.batch_sizes:
        obstacle, row = _leader(sweep.at(size))
        groups.setdefault((obstacle, row.recipe), []).append(row)
    if groups:
        told = [_led(sweep, obstacle, rows) for (obstacle, _), rows in groups.items()]
        yield finding("throughput", f"Fastest by batch size: {'; '.join(told)}.", sweep.timed)


def _leader(rows: Sequence[Row]) -> tuple[str, Row]:
    """Of the rows at a batch size, the fastest that is clearly faster than the baseline; else what is the case."""
    base = next((row for row in rows if row.recipe == BASELINE), None)
    if base is None:
        return "uncompared", rows[0]
    if rows[0] is base:
        return "baseline", base
    sure = [row for row in rows if row is not base and change(row) in ("faster", None)]
    return ("", sure[0]) if sure else ("unclear", rows[0])


def _led(sweep: Sweep, obstacle: str, rows: Sequence[Row]) -> str:
    """A part of the sentence: one leader, at all batch sizes where it leads so."""
    said = _LED[obstacle].format(
        recipe=rows[0].recipe,
        where=batches(row.batch_size for row in rows),
        speeds=_speeds(rows),
        gain=_gains(sweep, rows) if not obstacle else "",
    )
    higher = [one for row in rows if not obstacle and (one := sweep.at(row.batch_size)[0]) is not row]
    if not higher:
        return said
    names = joined([f"{one.recipe} at batch {one.batch_size}" for one in higher])
    return f"{said}, although the highest figure is {names}, not clearly above the baseline's"


def _speeds(rows: Sequence[Row]) -> str:
    """`185 to 381 images/s`."""
    ends = dict.fromkeys(short(end(throughput(row) for row in rows)) for end in (min, max))
    return f"{' to '.join(ends)} images/s"


def _gains(sweep: Sweep, rows: Sequence[Row]) -> str:
    """How many times as fast as the baseline at the same batch size; of one row with its interval."""
    bases = [next(row for row in sweep.at(one.batch_size) if row.recipe == BASELINE) for one in rows]
    if len(rows) == 1:
        return _over(rows[0], bases[0])
    pairs = zip(rows, bases, strict=True)
    return spread([row.speedup or throughput(row) / throughput(base) for row, base in pairs])


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
        if row.recipe != BASELINE and change(row) not in ("faster", None):
            sentence += ", which is not clearly less than the baseline's"
        sentence += "" if row.recipe == BASELINE else base
        yield finding(
            "latency",
            f"{sentence}; next is {runner_up.recipe} with {short(next_best)} ms.",
            (r for _, r in ranked),
        )


def saturation(sweep: Sweep) -> Iterator[Finding]:
    """The smallest batch size that gives nearly all of a recipe's best throughput."""
    groups: dict[tuple[int, bool], list[str]] = {}
    evidence: list[Row] = []
    sure: list[str] = []
    for recipe, rows in _at_several(sweep):
        enough = saturated(rows)
        largest = enough.batch_size == max(row.batch_size for row in sweep.rows if row.recipe == recipe)
        if settled(enough, rows):
            sure.append(recipe)
        groups.setdefault((enough.batch_size, largest), []).append(recipe)
        evidence += rows
    if groups:
        told = [
            f"at batch {size}{', the largest measured,' if largest else ''} by {joined(names)}"
            for (size, largest), names in sorted(groups.items())
        ]
        more = " A batch larger than measured may bring more." if any(last for _, last in groups) else ""
        if not sure:
            more += " The intervals are too wide to be certain of any of these."
        elif len(sure) < sum(len(names) for names in groups.values()):
            more += f" That is certain of {joined(sure)} alone."
        yield finding(
            "scaling",
            f"{100 * SATURATED:.0f} % of the best throughput is reached {'; '.join(told)}.{more}",
            evidence,
        )


def slow_down(sweep: Sweep) -> Iterator[Finding]:
    """The recipes whose throughput falls again at larger batch sizes, beyond the noise."""
    compared = _at_several(sweep)
    pairs = [(max(rows, key=throughput), rows[-1]) for _, rows in compared]
    fallen = [
        (peak, last)
        for peak, last in pairs
        if 1 - throughput(last) / throughput(peak) > 2 * (1 - SATURATED) and not overlapping(peak, last)
    ]
    if fallen:
        fallen.sort(key=lambda pair: throughput(pair[1]) / throughput(pair[0]))
        names = [
            f"{peak.recipe} ({_speed(peak)}, {short(throughput(last))} at batch {last.batch_size})"
            for peak, last in fallen
        ]
        count = f"{len(fallen)} of {len(compared)} recipes {'gets' if len(fallen) == 1 else 'get'}"
        named = f": {joined(names)}" if len(names) <= MOST_NAMED else f", most of all {names[0]}"
        sentence = f"{count} slower with larger batches{named}."
        yield finding("scaling", sentence, [row for pair in fallen for row in pair])


def _at_several(sweep: Sweep) -> list[tuple[str, list[Row]]]:
    """The recipes that were timed at more than one batch size, with their rows by batch size."""
    found = [(recipe, sweep.of(recipe)) for recipe in sweep.recipes]
    return [(recipe, rows) for recipe, rows in found if len(rows) > 1]


def saturated(rows: Sequence[Row]) -> Row:
    """The first of a recipe's timed rows, by batch size, that gives nearly all of its best throughput."""
    best = max(throughput(row) for row in rows)
    return next(row for row in rows if throughput(row) >= SATURATED * best)


def settled(enough: Row, rows: Sequence[Row]) -> bool:
    """Whether no other row can give much more, by the ends of the intervals; so too where there are none."""
    low = enough.throughput_ci_low
    highs = [row.throughput_ci_high for row in rows if row is not enough]
    return low is None or all(high is None or low >= SATURATED * high for high in highs)


def precision_share(sweep: Sweep) -> Iterator[Finding]:
    """What the runtime gives and what INT8 adds to it, where a recipe was timed in both FP32 and INT8."""
    told, evidence = [], []
    for row in sweep.best:
        plain = _in_fp32(sweep, row)
        if plain is None or plain.speedup is None or row.speedup is None:
            continue
        more = row.speedup / plain.speedup
        told.append(
            f"{plain.recipe} gives {times(plain.speedup)} at batch {row.batch_size}, and INT8 ({row.recipe}) another "
            f"{times(more)}"
        )
        evidence += [plain, row]
    if told:
        yield finding("precision", f"Runtime and precision apart: {'; '.join(told)}.", evidence)


def _in_fp32(sweep: Sweep, row: Row) -> Row | None:
    """The row of the same techniques and engine in FP32 at the same batch size, of a row in INT8."""
    if row.precision != "int8":
        return None
    alike = [one for one in sweep.at(row.batch_size) if one.precision == "float32" and one.recipe != BASELINE]
    return next((one for one in alike if _without_options(one) == _without_options(row)), None)


def _without_options(row: Row) -> list[str]:
    """The names of a row's techniques and engine."""
    return [step.partition(":")[0] for step in row.steps.split("+")]


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
    """How many times as fast, with what is known of it: rows of different batch sizes share no rounds."""
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


def _spread(rows: list[Row]) -> str:
    """The speed-ups of rows; those with a verdict but no speed-up have none to show."""
    ratios = [row.speedup for row in rows if row.speedup is not None]
    return spread(ratios) if ratios else "not compared"
