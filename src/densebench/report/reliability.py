"""Rules about what a run can't tell: what is missing, what was disturbed, how far to trust a figure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from densebench.record import BASELINE, Row, Status
from densebench.report.sweep import Finding, Sweep, finding
from densebench.rows import by_environment
from densebench.stats.comparison import LOOK_FROM, Estimate, excess
from densebench.stats.pages import Process, explained, varies
from densebench.wording import batches, joined, one_line, problems, short

WORTH_SAYING = 0.01  # share of calls left out
HALF = 0.5  # of what processes differ by: what explains less is not why
_ENDED = {Status.SKIPPED: "was skipped", Status.FAILED: "failed", Status.TIMED_OUT: "timed out"}


def missing(sweep: Sweep) -> Iterator[Finding]:
    """Rows that were skipped, failed or timed out, with their reasons, and what has no row."""
    for rows in problems(sweep.rows):
        first = rows[0]
        reason = first.reason.rstrip(".") or "no reason given"
        where = batches(row.batch_size for row in rows)
        yield finding("missing", f"{first.recipe} at {where} {_ENDED[first.status]}: {reason}.", rows)
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
    lacking = [row for row in sweep.timed if row.rounds and len({*row.rounds}) < _least_rounds(sweep, row)]
    if lacking:
        said = (
            f"The run ended before {len(lacking)} of {len(sweep.timed)} rows had all their rounds, so "
            "their intervals are wide: --resume measures what is missing."
        )
        yield finding("limits", said, lacking)


def _least_rounds(sweep: Sweep, row: Row) -> int:
    return max(sweep.rounds, LOOK_FROM) if sweep.rounds and row.adaptive else sweep.rounds


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
            f"Warning: the rows come from {len(found)} environments, {names}: speeds of different ones can't be "
            "compared.",
            sweep.rows,
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


def unstable(sweep: Sweep) -> Iterator[Finding]:
    """Rows that were measured while something disturbed them."""
    rows = [row for row in sweep.timed if row.stable is False]
    if rows:
        yield finding("limits", f"Measured under disturbance, to be read with care: {_cells(rows)}.", rows)
    groups: dict[str, list[Row]] = {}
    for row in sweep.timed:
        if row.disturbance:
            groups.setdefault(row.disturbance, []).append(row)
    for text, disturbed in groups.items():
        yield finding("limits", f"While {_cells(disturbed)} ran: {text.rstrip('.')}.", disturbed)


def no_turns(sweep: Sweep) -> Iterator[Finding]:
    """Rows at focus batch sizes with processes that took no turns with the baseline's."""
    alone = [
        row
        for row in sweep.timed
        if row.device == "cpu" and row.adaptive and not (row.beside_ms and all(row.beside_ms))
    ]
    rows = [row for row in alone if row.recipe != BASELINE]
    turned = {row.batch_size for row in sweep.timed if any(row.beside_ms)}  # where any process took turns
    base = [row for row in alone if row.recipe == BASELINE and row.batch_size in turned]
    if base:
        said = (
            f"Some of the baseline's own processes at {batches(row.batch_size for row in base)} took no turns: in "
            "those rounds recipes are held against fewer of its processes."
        )
        yield finding("limits", said, base)
    if rows:
        said = (
            f"Some processes of {_cells(rows)}, or all, took no turns with the baseline, which didn't answer them "
            "(run.log says why) or would have taken too long: these are held against its blocks of the same round."
        )
        yield finding("limits", said, rows)


def wide(sweep: Sweep) -> Iterator[Finding]:
    """Speed-ups at focus batch sizes that no further rounds made as narrow as they were meant to be."""
    target = sweep.precision_target
    known = [(row, _estimate(row)) for row in sweep.timed if row.adaptive and row.recipe != BASELINE]
    loose = [(row, found.half_width) for row, found in known if found and excess(found, target / 100) > 1]
    widths = sorted(100 * half for _, half in loose if half is not None)
    if widths:
        rows = [row for row, _ in loose]
        said = (
            f"Further rounds ended before the speed-ups of {_cells(rows)} were known to a tenth of the effect, or to "
            f"{target:g} %: their 95 % intervals are {_range(widths)}. A longer --focus-time narrows them."
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
    """Calls that don't count: the host of a virtual machine held them up, or something disturbed their turn."""
    rows = [row for row in sweep.timed if row.left_out >= WORTH_SAYING]
    if rows:
        most = max(rows, key=lambda row: row.left_out)
        share = f"{100 * most.left_out:.0f} % of the calls of {most.recipe} at batch {most.batch_size}"
        why = "the host took CPU time or slowed CPUs down meanwhile, or something else disturbed their turn"
        yield finding("limits", f"Left out of every figure were up to {share}: {why}.", rows)


def fresh_memory(sweep: Sweep) -> Iterator[Finding]:
    """Batch sizes at which processes of one recipe differ mostly by the memory that they give back and take anew."""
    for size in sweep.batch_sizes:
        known = {row.key: (row, _processes(row)) for row in sweep.at(size)}
        varied = {key: one for key, one in known.items() if varies(one[1])}
        found = explained([processes for _, processes in varied.values()])
        if found is None or found.share < HALF:
            continue
        row, processes = max(varied.values(), key=lambda one: _slower(one[1]))
        (low_ms, few), *_, (high_ms, many) = _by_faults(processes)
        said = (
            f"At batch {size} processes of one recipe differ by the memory that they give back to the kernel and "
            f"take again at each inference: those of {row.recipe} took {few:,.0f} to {many:,.0f} pages, and "
            f"{short(low_ms)} to {short(high_ms)} ms. A thousand pages cost {short(found.us_a_page)} ms here, which "
            f"explains {100 * found.share:.0f} % of how processes scatter; an allocator that keeps freed memory "
            "spares it."
        )
        yield finding("limits", said, (row for row, _ in varied.values()))


def _processes(row: Row) -> list[Process]:
    """Mean time and page faults of a call in each process that tells them."""
    both = zip(row.blocks, row.page_faults, strict=False)
    return [(block.mean_ms, faults) for block, faults in both if faults is not None]


def _by_faults(processes: list[Process]) -> list[Process]:
    return sorted(processes, key=lambda one: one[1])


def _slower(processes: list[Process]) -> float:
    """By which factor the process that took most pages is slower than the one that took fewest."""
    (low_ms, _), *_, (high_ms, _) = _by_faults(processes)
    return high_ms / low_ms


def _cells(rows: list[Row]) -> str:
    recipes = dict.fromkeys(row.recipe for row in rows)
    return "; ".join(f"{r} at {batches(row.batch_size for row in rows if row.recipe == r)}" for r in recipes)
