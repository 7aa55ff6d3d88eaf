"""Rules about what a recipe does to the outputs: accuracy, agreement with the baseline, and its effect."""

from __future__ import annotations

from collections.abc import Iterator

from densebench.decision.facts import without_effect
from densebench.report.sweep import Finding, Sweep, finding
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.stats.proportion import drop_at_most
from densebench.text import joined, points, recipes, short

WARNED = 1 + 1e-9  # percentage points of top-1; 99.4 - 98.4 must not count as more
SMALLEST_P = 0.001  # a smaller one is not told more exactly


def accuracy(sweep: Sweep) -> Iterator[Finding]:
    """Who stays within the limit, and who loses how much."""
    drops = [(drop, row) for drop, row in sweep.facts("accuracy_drop_pp") if row.recipe != BASELINE]
    if not drops:
        return
    limit = points(sweep.limits.max_accuracy_drop)
    base = sweep.fact(BASELINE, "accuracy_top1")
    start = f"The baseline's top-1 is {base[0]:.2f} %. " if base else ""
    kept = [(drop, row) for drop, row in drops if sweep.doubt(row.recipe) is None]
    lost = sorted((pair for pair in drops if pair not in kept), key=lambda pair: pair[0])
    if kept:
        unchanged = [row.recipe for drop, row in kept if _signed(drop) == "0.00"]
        changed = [f"{row.recipe} ({_signed(drop)})" for drop, row in kept if row.recipe not in unchanged]
        said = [f"unchanged with {recipes(unchanged)}"] if unchanged else []
        said += [joined(changed)] if changed else []
        yield finding("accuracy", f"{start}Within the limit of {limit}: {'; '.join(said)}.", _rows(kept))
    lost = [(drop, row) for drop, row in lost if drop <= WARNED]  # the others are warned of
    over = [(drop, row) for drop, row in lost if _at_least(drop, row) > sweep.limits.max_accuracy_drop]
    unsure = [(drop, row) for drop, row in lost if (drop, row) not in over]
    if over:
        yield finding(
            "accuracy", f"{'' if kept else start}Loses more than {limit}: {_fallen(over)}.", _rows(over)
        )
    if unsure:
        names = joined([_doubtful(drop, row, sweep) for drop, row in unsure])
        doubt = f"May lose more than {limit}, too few images to tell with 95 % confidence: {names}."
        yield finding("accuracy", f"{'' if kept or over else start}{doubt}", _rows(unsure))


def large_loss(sweep: Sweep) -> Iterator[Finding]:
    """A warning of every recipe that loses more than a point, even where the run allows it."""
    drops = [(drop, row) for drop, row in sweep.facts("accuracy_drop_pp") if row.recipe != BASELINE]
    large = sorted((pair for pair in drops if pair[0] > WARNED), key=lambda pair: pair[0])
    if large:
        limit = sweep.limits.max_accuracy_drop
        allowed = "" if limit == 1 else f" (this run's limit: {points(limit)})"
        yield finding(
            "accuracy",
            f"top-1 falls by more than {points(1)} with {_fallen(large)}{allowed}.",
            _rows(large),
            warns=True,
        )


def unlabelled(sweep: Sweep) -> Iterator[Finding]:
    """Agreement with the baseline where no accuracy was measured."""
    known = [
        (share, row)
        for share, row in sweep.facts("top1_agreement")
        if row.recipe != BASELINE and not sweep.fact(row.recipe, "accuracy_drop_pp")
    ]
    if known:
        names = joined([f"{row.recipe} {_share(share)}" for share, row in known])
        seen_on = dict.fromkeys(row.agreement_on for _, row in known if row.agreement_images)
        of = f" of {joined(list(seen_on))}" if seen_on else ""
        yield finding(
            "accuracy",
            f"Accuracy not measured; share{of} with the same first guess as the baseline: {names}.",
            _rows(known),
        )


def fidelity(sweep: Sweep) -> Iterator[Finding]:
    """The outputs that moved furthest from the baseline's, and the labels that it changed."""
    known = [(db, row) for db, row in sweep.facts("output_sqnr_db") if row.recipe != BASELINE]
    if len(known) < 2:
        return
    (low, worst), (high, best) = min(known, key=lambda pair: pair[0]), max(known, key=lambda pair: pair[0])
    changed = sweep.fact(worst.recipe, "top1_agreement")
    guess = f" and {_share(changed[0])} of the first guesses unchanged" if changed else ""
    seen_on = f" on {worst.agreement_on}" if worst.agreement_images else ""
    same = [row for one, row in sweep.facts("top1_agreement") if one == 1 and row.output_sqnr_db is None]
    equal = [row for row in same if row.recipe != BASELINE]
    names = joined([row.recipe for row in equal])
    unmoved = f"; no difference was seen with {names}" if equal else ""
    yield finding(
        "accuracy",
        f"The logits{seen_on} are furthest from the baseline's with {worst.recipe} ({low:.1f} dB signal to noise"
        f"{guess}) and closest with {best.recipe} ({high:.1f} dB){unmoved}.",
        [*_rows(known), *equal],
    )


def no_effect(sweep: Sweep) -> Iterator[Finding]:
    """Optimizations that were seen to change nothing, with the reason."""
    groups: dict[str, list[Row]] = {}
    for row in sweep.rows:
        if row.status is Status.OK and row.effect is not None and without_effect(row):
            groups.setdefault(row.effect.why_none, []).append(row)
    told = [
        f"{joined(list(dict.fromkeys(row.recipe for row in rows)))} ({why})" for why, rows in groups.items()
    ]
    if told:
        sentence = f"No effect was seen of {'; '.join(told)}."
        yield finding("effect", sentence, [row for rows in groups.values() for row in rows])


def _at_least(drop: float, row: Row) -> float:
    """The top-1 that is lost for certain (points): the lower bound where the images are known one by one.

    What is lost at least is what is won at most, with its sign turned.
    """
    lost, won = row.images_lost, row.images_won
    if lost is None or won is None:
        return drop
    return -100 * drop_at_most(won, lost, len(row.correct_top1))


def _doubtful(drop: float, row: Row, sweep: Sweep) -> str:
    most = sweep.dropped(row.recipe)
    assert most is not None, "it has lost `drop`"
    return f"{row.recipe} ({_signed(drop)}, up to {most[0]:.2f} lost{_images(row)})"


def _fallen(pairs: list[tuple[float, Row]]) -> str:
    return joined(
        [f"{row.recipe} ({_signed(drop)}, to {row.accuracy_top1:.2f} %{_images(row)})" for drop, row in pairs]
    )


def _images(row: Row) -> str:
    """`; 8 images lost and 6 won against the baseline, p = 0.79, exact McNemar`; nothing where they aren't known."""
    lost, won, p = row.images_lost, row.images_won, row.accuracy_drop_p
    if lost is None or won is None or p is None:
        return ""
    likely = f"p = {short(p, 2)}" if p >= SMALLEST_P else f"p < {SMALLEST_P:g}"
    images = f"{lost} image{'' if lost == 1 else 's'} lost and {won} won against the baseline"
    return f"; {images}, {likely}, exact McNemar"


def _signed(drop: float) -> str:
    """A loss as the change that a reader expects: -0.40, +0.10, 0.00."""
    return "0.00" if abs(drop) < 0.005 else f"{-drop:+.2f}"


def _share(share: float) -> str:
    """Never 100 % unless it is."""
    return "100 %" if share == 1 else f"{min(100 * share, 99.99):.2f} %"


def _rows(pairs: list[tuple[float, Row]]) -> list[Row]:
    return [row for _, row in pairs]
