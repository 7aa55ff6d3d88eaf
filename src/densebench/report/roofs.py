"""Rules about the machine's ceilings: how close the rows come, which roof is theirs, and whether it stops them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from densebench.report.roofline import intensity, roof
from densebench.report.speed import saturated, settled
from densebench.report.sweep import Finding, Sweep, finding
from densebench.results.ceilings import Ceilings, called, row_gop_per_s
from densebench.results.record import Row, recipes_in_order
from densebench.text import batches, joined, one_line, short

FEW = 3  # recipes whose saturation is explained
NEAR = 0.7  # share of a roof below which it is not what stops a recipe


@dataclass(frozen=True)
class Place:
    """Where a row stands: operations on each byte, GOP/s that it reaches and that its roof allows there."""

    row: Row
    across: float
    reached: float
    allowed: float
    kind: str  # "memory" or "arithmetic": whose roof is the lower one

    @property
    def share(self) -> float:
        return self.reached / self.allowed


def place(row: Row, ceilings: Ceilings) -> Place | None:
    """A timed row under the roof of its precision; None where too little is known of it."""
    across = intensity(row)
    ceiling = ceilings.compute.get(row.precision)
    if across is None or ceiling is None or not row.throughput_samples_per_s:
        return None
    if not of_ceilings(row, ceilings):
        return None
    assert row.macs_g is not None, "or there would be no intensity"
    allowed = roof(across, row.precision, ceilings)
    kind = "memory" if allowed < ceiling.gop_per_s else "arithmetic"
    return Place(row, across, 2 * row.macs_g * row.throughput_samples_per_s, allowed, kind)


def of_ceilings(row: Row, ceilings: Ceilings | None) -> bool:
    """Whether a row ran with the ceilings' threads: with others it has a ceiling that was not measured."""
    return ceilings is None or row.threads == ceilings.threads


def too_low(ceilings: Ceilings) -> str:
    """A sentence, with a space before it, on ceilings that are too low."""
    if not ceilings.interference:
        return ""
    return (
        f" The ceilings were measured while the machine did other work ({one_line(ceilings.interference)}), so it "
        "can do more, and the shares are too high."
    )


def ceiling(sweep: Sweep) -> Iterator[Finding]:
    """How much of the machine each recipe's fastest row uses: little room above it, or much."""
    known = [
        (row.roofline_fraction, row)
        for row in sweep.best
        if row.roofline_fraction is not None and of_ceilings(row, sweep.ceilings)
    ]
    if not known:
        return
    (high, nearest), (low, furthest) = max(known, key=lambda p: p[0]), min(known, key=lambda p: p[0])
    sentence = (
        f"Closest to this machine's measured ceiling: {nearest.recipe} with {_of_ceiling(high, nearest)}"
    )
    if furthest is not nearest:
        sentence += f"; furthest: {furthest.recipe} with {_of_ceiling(low, furthest)}"
    yield finding("ceiling", f"{sentence}.", (row for _, row in known))


def above(sweep: Sweep) -> Iterator[Finding]:
    """Rows that reached more than was known to be possible: the ceiling was too low, and is theirs now."""
    if sweep.ceilings is None:
        return
    for precision, found in sweep.ceilings.compute.items():
        rows = [row for row in sweep.timed if row.precision == precision and of_ceilings(row, sweep.ceilings)]
        if found.known_before is None or not rows:
            continue
        row = max(rows, key=lambda row: row_gop_per_s(row) or 0.0)
        now = _thousands(found.gop_per_s)
        sentence = (
            f"{row.recipe} at batch {row.batch_size} reached {now} GOP/s, above the {called(precision)} ceiling of "
            f"{_thousands(found.known_before)} that was known before: the ceiling is now {now}, from this row."
        )
        yield finding("ceiling", sentence, [row])


def _thousands(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else short(value)


def lower(sweep: Sweep) -> Iterator[Finding]:
    """Whether arithmetic or memory is the lower roof, and so whether a larger batch can raise it."""
    if sweep.ceilings is None:
        return
    places = _places(sweep, sweep.ceilings)
    if not places:
        return
    counted = len(places) < len(sweep.timed)
    every = "all those counted" if counted else "every row"
    memory = [one for one in places if one.kind == "memory"]
    if memory:
        some = _cells([one.row for one in memory]) + (", of those counted" if counted else "")
        whose = every if len(memory) == len(places) else some
        said = f"Memory is the lower roof of {whose}, with {_range(memory)}"
        sentence = f"{said}: a larger batch, which shares the weights, raises it."
    else:
        said = f"Arithmetic, not memory, is the lower roof of {every}, with {_range(places)}"
        sentence = f"{said}: a larger batch doesn't raise it."
    yield finding("roof", sentence + too_low(sweep.ceilings), (one.row for one in places))


def reached(sweep: Sweep) -> Iterator[Finding]:
    """How much of its roof each of the fastest recipes has where larger batches bring no more."""
    if sweep.ceilings is None:
        return
    told, evidence = [], []
    for best in sweep.best[:FEW]:
        rows = sweep.of(best.recipe)
        enough = saturated(rows)
        at = place(enough, sweep.ceilings)
        if at is None or enough is rows[-1]:  # beyond the largest batch more may be possible
            continue
        share = f"{short(100 * at.share, 2)} % of its {at.kind} roof"
        stops = ", so neither roof stops it" if at.share < NEAR else ""
        sure = "is" if settled(enough, rows) else "may be"
        told.append(f"{best.recipe} {sure} saturated from batch {enough.batch_size} at {share}{stops}")
        evidence += rows
    if told:
        yield finding("roof", f"{'; '.join(told)}.", evidence)


def _places(sweep: Sweep, ceilings: Ceilings) -> list[Place]:
    found = (place(row, ceilings) for row in sweep.timed)
    return [one for one in found if one is not None]


def _cells(rows: list[Row]) -> str:
    """`a at batches 1 and 8 and b at batch 8`."""
    owns = [[row for row in rows if row.recipe == recipe] for recipe in recipes_in_order(rows)]
    return joined([f"{own[0].recipe} at {batches(row.batch_size for row in own)}" for own in owns])


def _range(places: list[Place]) -> str:
    """`12.5 (a at batch 1) to 74.4 operations on each byte that must move at least`, or one figure."""
    least, most = min(places, key=lambda one: one.across), max(places, key=lambda one: one.across)
    low, high = short(least.across), short(most.across)
    span = low if low == high else f"{low} ({least.row.recipe} at batch {least.row.batch_size}) to {high}"
    return f"{span} operations on each byte that must move at least"


def _of_ceiling(share: float, row: Row) -> str:
    """The share with the precision whose ceiling it is of, where that is known."""
    whose = f" of the {called(row.precision)} ceiling" if row.precision else ""
    return f"{short(100 * share, 2)} %{whose} at batch {row.batch_size}"
