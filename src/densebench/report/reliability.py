"""Rules about what a run can't tell: what is missing, what met interference, how far to trust a figure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from densebench.report.sweep import Finding, Sweep, finding
from densebench.results.derive import by_environment
from densebench.results.observation import Status
from densebench.results.problems import problems
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.stats.speedup import Estimate, rounds_needed
from densebench.text import MOST_NAMED, batches, joined, measured_on, one_line, short

WORTH_SAYING = 0.01  # share of calls left out
MANY_PAGES = 2_500  # of a call: 10 MB
_ENDED = {Status.SKIPPED: "was skipped", Status.FAILED: "failed", Status.TIMED_OUT: "timed out"}


def missing(sweep: Sweep) -> Iterator[Finding]:
    """Rows that were skipped, failed or timed out, with their reasons, and what has no row."""
    alike: dict[tuple[str, Status, str], list[list[Row]]] = {}
    for rows in problems(sweep.rows):
        where = batches(row.batch_size for row in rows)
        alike.setdefault((where, rows[0].status, rows[0].reason), []).append(rows)
    for (where, status, reason), groups in alike.items():
        who, why = joined([rows[0].recipe for rows in groups]), reason.rstrip(".") or "no reason given"
        ended = _ENDED[status].replace("was", "were") if len(groups) > 1 else _ENDED[status]
        said = f"{who} at {where} {ended}: {why}."
        yield finding("missing", said, [row for rows in groups for row in rows])
    there = {row.key for row in sweep.rows}
    unreached: dict[str, list[int]] = {}
    for recipe, size in sweep.planned:
        if (recipe, size) not in there:
            unreached.setdefault(recipe, []).append(size)
    for sizes in dict.fromkeys(map(tuple, unreached.values())):
        names = [recipe for recipe, own in unreached.items() if tuple(own) == sizes]
        said = (
            f"No row for {joined(names)} at {batches(sizes)}: the run ended before that; --resume "
            "measures what is missing."
        )
        cells = tuple(dict.fromkeys(product(names, sizes)))
        yield Finding("missing", one_line(said, limit=4000), cells)


def unfinished(sweep: Sweep) -> Iterator[Finding]:
    """Rows of a run that ended before they had all rounds that they were to have."""
    lacking = [row for row in sweep.timed if row.rounds and len(row.rounds) < sweep.rounds_of(row)]
    if lacking:
        said = (
            f"The run ended before {len(lacking)} of {len(sweep.timed)} rows had all their rounds, so "
            "their intervals are wide: --resume measures what is missing."
        )
        yield finding("limits", said, lacking)


def no_baseline(sweep: Sweep) -> Iterator[Finding]:
    """Batch sizes without a baseline, where nothing can be compared."""
    bare = [size for size in sweep.batch_sizes if all(row.recipe != BASELINE for row in sweep.at(size))]
    if bare:
        rows = [row for row in sweep.timed if row.batch_size in bare]
        yield finding(
            "limits", f"No baseline was measured at {batches(bare)}, so there is no speed-up there.", rows
        )


def machines(sweep: Sweep) -> Iterator[Finding]:
    """Rows of several machines or environments, whose speeds say nothing about each other."""
    found = by_environment(sweep.rows)
    if len(found) > 1:
        names = joined(
            [f"{name} ({len(rows)} row{'' if len(rows) == 1 else 's'})" for name, rows in found.items()]
        )
        yield finding(
            "limits",
            f"the rows come from {len(found)} environments, {names}: speeds of different ones can't be "
            "compared.",
            sweep.rows,
            warns=True,
        )


def no_intervals(sweep: Sweep) -> Iterator[Finding]:
    """Figures from one process each, whose spread between processes is unknown."""
    rows = [row for row in sweep.timed if row.throughput_ci_low is None]
    if rows:
        which = (
            "Every figure" if len(rows) == len(sweep.timed) else f"{len(rows)} of {len(sweep.timed)} figures"
        )
        come = "come from a" if len(rows) not in (1, len(sweep.timed)) else "comes from a"
        yield finding(
            "limits",
            f"{which} {come} single process, without an interval. The same model's speed differs from one "
            "process to the next, so differences of a few percent should not be trusted; speed-ups within "
            "±3 % are called no difference.",
            rows,
        )


def no_accuracy(sweep: Sweep) -> Iterator[Finding]:
    """Recipes that ran but whose accuracy is unknown."""
    ran = [row for row in sweep.rows if row.status is Status.OK]
    blind = [row for row in ran if sweep.fact(row.recipe, "accuracy_top1") is None]
    if ran and len(blind) == len(ran):
        yield finding(
            "limits", "Accuracy was not measured: measure it on your own data before deploying.", blind
        )
        return
    for recipe in dict.fromkeys(row.recipe for row in blind):
        rows = [row for row in blind if row.recipe == recipe]
        yield finding("limits", f"The accuracy of {recipe} was not measured.", rows)


def fewer_images(sweep: Sweep) -> Iterator[Finding]:
    """Accuracy of a part of the validation images."""
    rows = [row for row in sweep.rows if row.correct_top1]
    for row in [row for row in rows if row.recipe == BASELINE][:1]:
        used, there_are = len(row.correct_top1), row.validation_images or 0
        if used < there_are:
            yield finding("limits", measured_on(used, there_are, row.all_images_s), rows)


def unstable(sweep: Sweep) -> Iterator[Finding]:
    """Rows that were measured while something else used the machine."""
    rows = [row for row in sweep.timed if row.stable is False]
    if rows:
        first = rows[0]
        example = f"{first.recipe} at batch {first.batch_size}: {first.interference.rstrip('.')}"
        said = f"Measured with interference, to be read with care: {_cells(rows)}. For {example}."
        yield finding("limits", said, rows)
    repeated = [row for row in sweep.timed if row.interference and row.stable is not False]
    if repeated:
        count = f"{len(repeated)} {'row' if len(repeated) == 1 else 'rows'}"
        said = f"Processes of {count} met interference and were measured again: see the column interference."
        yield finding("limits", said, repeated)


def no_pairs(sweep: Sweep) -> Iterator[Finding]:
    """Rows at focus batch sizes with processes that were measured without pairs."""
    paired = {row.batch_size for row in sweep.timed if row.paired}
    alone = [row for row in sweep.timed if row.batch_size in paired and not _all_paired(row)]
    if alone:
        said = (
            f"Some processes of {_cells(alone)}, or all, were measured without pairs: the reference process didn't "
            "answer them (run.log says why), or pairs would have taken too long. They are held against the "
            "baseline's processes of the same round."
        )
        yield finding("limits", said, alone)


def _all_paired(row: Row) -> bool:
    return all(one.samples.pairs for one in row.timed_processes)


def wide(sweep: Sweep) -> Iterator[Finding]:
    """Speed-ups at focus batch sizes whose intervals are wider than the target, and how many rounds would meet it."""
    target = sweep.precision_target / 100
    loose: list[tuple[Row, float, int | None]] = []
    for row in sweep.timed:
        found = _estimate(row)
        half = found.half_width if found and row.recipe != BASELINE and sweep.focused(row) else None
        if half is not None and half > target:
            loose.append((row, half, rounds_needed(half, len(row.rounds), target)))
    if loose:
        rows, needed = [row for row, _, _ in loose], [rounds for _, _, rounds in loose]
        widths = sorted(100 * half for _, half, _ in loose)
        said = (
            f"The 95 % intervals of {_cells(rows)} are {_range(widths)}, wider than the ±{short(100 * target, 2)} % "
            f"of --precision-target. If rounds go on to scatter like these, {_enough(needed)}."
        )
        yield finding("limits", said, rows)


def _enough(needed: list[int | None]) -> str:
    """How many rounds would do, for as many rows as any sensible number would do for."""
    sensible = [rounds for rounds in needed if rounds is not None]
    if not sensible:
        return "no sensible number of rounds makes them as narrow"
    which = "them" if len(sensible) == len(needed) else f"{len(sensible)} of these {len(needed)}"
    return f"about {max(sensible)} rounds would make {which} as narrow: --resume --focus-rounds N adds rounds"


def added_rounds(sweep: Sweep) -> Iterator[Finding]:
    """Rounds that a resume added after an interval had been seen."""
    rows = [row for row in sweep.timed if sweep.focused(row) and sweep.rounds_at_first < len(row.rounds)]
    if sweep.rounds_at_first and rows:
        said = (
            f"Rounds were added to {_cells(rows)} after intervals had been seen. Who stops adding when an interval "
            "looks right favours intervals that are too narrow: take these with care."
        )
        yield finding("limits", said, rows)


def _range(widths: list[float]) -> str:
    """`±3.2 to ±40 %`, or one figure where both ends read alike."""
    ends = dict.fromkeys(f"±{short(one, 2)}" for one in (widths[0], widths[-1]))
    return f"{' to '.join(ends)} %"


def _estimate(row: Row) -> Estimate | None:
    if row.speedup is None or row.speedup_ci_low is None:
        return None
    return Estimate(row.speedup, row.speedup_ci_low, row.speedup_ci_high)


def left_out(sweep: Sweep) -> Iterator[Finding]:
    """Calls that don't count: a virtual machine's host held them up, or something else used the machine."""
    rows = [row for row in sweep.timed if row.left_out >= WORTH_SAYING]
    if rows:
        most = max(rows, key=lambda row: row.left_out)
        share = f"{100 * most.left_out:.0f} % of the calls of {most.recipe} at batch {most.batch_size}"
        why = "the host took CPU time or slowed CPUs down meanwhile, or something else used the machine"
        yield finding("limits", f"Left out of every figure were up to {share}: {why}.", rows)


def power_limit(sweep: Sweep) -> Iterator[Finding]:
    """A GPU that can't hold its full clock under these loads: a property of the card, and of no row."""
    rows = [row for row in sweep.timed if row.power_limited]
    if rows:
        when = "throughout" if len(rows) == len(sweep.timed) else f"while {_cells(rows)} ran"
        said = f"The GPU ran at its power limit {when}: at another limit the same card has another speed."
        yield finding("limits", said, rows)


def fresh_memory(sweep: Sweep) -> Iterator[Finding]:
    """Rows whose calls take much memory from the kernel anew, which costs time."""
    rows = [row for row in sweep.timed if max(_faults(row), default=0.0) > MANY_PAGES]
    if rows:
        most = max(rows, key=lambda row: max(_faults(row)))
        said = (
            f"In {_cells(rows)} each inference takes memory from the kernel anew, up to "
            f"{max(_faults(most)):,.0f} pages: an allocator that keeps freed memory spares the time that this takes."
        )
        yield finding("limits", said, rows)


def _faults(row: Row) -> list[float]:
    return [found for one in row.timed_processes if (found := one.samples.page_faults) is not None]


def _cells(rows: list[Row]) -> str:
    """`a at batches 1 and 8; b at batch 8`, or `75 rows of 13 recipes` where there are too many to read."""
    recipes = dict.fromkeys(row.recipe for row in rows)
    if len(recipes) > MOST_NAMED:
        return f"{len(rows)} rows of {len(recipes)} recipes"
    return "; ".join(f"{r} at {batches(row.batch_size for row in rows if row.recipe == r)}" for r in recipes)
