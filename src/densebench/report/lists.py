"""Rules that list recipes by how they compare with the baseline: one entry a recipe, at its best and its worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from densebench.decision.facts import Facts
from densebench.decision.lists import Listed, Way, entry, listed
from densebench.report.sweep import Finding, Sweep, change, finding
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import joined, recipes, times

CORRECTION = (
    "The lists of faster and slower recipes hold for all recipes at once: the chance that any entry is wrong is 5 %. "
    "A row's own verdict holds for that row alone, so a recipe with a faster row may be in neither list."
)


def overview(sweep: Sweep) -> Iterator[Finding]:
    """How many recipes are faster than the baseline, and which of the others are slower or not told apart."""
    compared = [recipe for recipe in sweep.recipes if _rows(sweep, recipe)]
    quick, slow = ([one.recipe for one in _listed(sweep.rows, way)] for way in ("faster", "slower"))
    neither = [one.recipe for one in _neither(sweep)]
    if not compared:
        return
    are = "is" if len(quick) == 1 else "are"
    first = f"{len(quick)} of {len(compared)} recipes {are} faster than the baseline, tested for all at once"
    told = [first]
    told += [f"slower at some batch size: {recipes(slow)}"] if slow else []
    told += [f"not told apart from it: {recipes(neither)}"] if neither else []
    yield finding(
        "overview", f"{'; '.join(told)}.", [row for recipe in compared for row in _rows(sweep, recipe)]
    )


def faster(sweep: Sweep) -> Iterator[Finding]:
    """The recipes that are faster than the baseline at some batch size."""
    yield from _told(sweep, "faster", "faster", "Faster than the baseline")


def slower(sweep: Sweep) -> Iterator[Finding]:
    """The recipes that are slower than the baseline at some batch size."""
    yield from _told(sweep, "slower", "slower", "Slower than the baseline")


def no_difference(sweep: Sweep) -> Iterator[Finding]:
    """The recipes within ±3 % of the baseline at every batch size, with their whole intervals."""
    same = [one for one in _neither(sweep) if all(change(row) == "same" for row in _rows(sweep, one.recipe))]
    if same:
        yield _finding(sweep, "no difference", "No difference to the baseline's speed", same)


def not_told_apart(sweep: Sweep) -> Iterator[Finding]:
    """The recipes that are in no other list."""
    rest = [one for one in _neither(sweep) if any(change(row) != "same" for row in _rows(sweep, one.recipe))]
    if rest:
        yield _finding(sweep, "noise", "Not told apart from the baseline", rest)


def correction(sweep: Sweep) -> Iterator[Finding]:
    """What the lists' correction does, where there are lists that it was done for."""
    named = [one for way in ("faster", "slower") for one in _listed(sweep.rows, way)]
    if any(one.best.verdict is not None for one in named):
        yield finding("lists", CORRECTION, [one.best for one in named])


def _told(sweep: Sweep, way: Way, topic: str, words: str) -> Iterator[Finding]:
    if own := _listed(sweep.rows, way):
        yield _finding(sweep, topic, words, own)


@lru_cache(maxsize=16)  # several rules ask for the same lists
def _listed(rows: tuple[Row, ...], way: Way) -> tuple[Listed, ...]:
    """The corrected list, and the recipes of a single process a row by the rule of ±3 %."""
    facts = Facts(rows)
    sure = {one.recipe: one for one in listed(rows, way)}
    for recipe in facts.recipes:
        own = [row for row in facts.of(recipe) if row.speedup is not None]
        if own and all(row.verdict is None for row in own) and any(change(row) == way for row in own):
            sure[recipe] = entry(facts, recipe)
    return tuple(sure[recipe] for recipe in facts.recipes if recipe in sure)


def _neither(sweep: Sweep) -> list[Listed]:
    """The recipes that were compared and are in neither list."""
    named = {one.recipe for way in ("faster", "slower") for one in _listed(sweep.rows, way)}
    facts = Facts(sweep.rows)
    return [entry(facts, recipe) for recipe in facts.recipes if recipe not in named and _rows(sweep, recipe)]


def _rows(sweep: Sweep, recipe: str) -> list[Row]:
    return [row for row in sweep.of(recipe) if row.speedup is not None and recipe != BASELINE]


def _finding(sweep: Sweep, topic: str, words: str, entries: Sequence[Listed]) -> Finding:
    rows = [row for one in entries for row in _rows(sweep, one.recipe)]
    return finding(topic, f"{words}: {joined([_entry(one) for one in entries])}.", rows)


def _entry(one: Listed) -> str:
    """`a (2.90x at batch 1 to 1.40x at batch 32)`, `b (1.01x at batch 8)`."""
    best, worst = _at(one.best), _at(one.worst)
    if times(one.best.speedup) == times(one.worst.speedup):
        return f"{one.recipe} ({best})"
    return f"{one.recipe} ({best} to {worst})"


def _at(row: Row) -> str:
    """`1.40x at batch 32`, with a word where the interval doesn't say which is faster."""
    unclear = ", unclear" if row.verdict == "unclear" else ""
    return f"{times(row.speedup)} at batch {row.batch_size}{unclear}"
