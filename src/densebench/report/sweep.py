"""A sweep's rows, looked at in the ways that the rules of the analysis need, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from densebench.measure.ceilings import Ceilings
from densebench.record import BASELINE, Row, Status, recipes_in_order
from densebench.rows import by_environment
from densebench.stats.comparison import CLEAR, Verdict
from densebench.wording import batches, one_line, short

NO_EFFECT = "none:"


@dataclass(frozen=True)
class Finding:
    """One sentence of the analysis, with the cells (recipe, batch size) that it rests on.

    The sentence is plain text: names in it come from the data, so whoever prints it escapes it.
    """

    topic: str
    said: str
    evidence: tuple[tuple[str, int], ...]
    environment: str = ""  # whose rows these are, where the sweep has several

    @property
    def sentence(self) -> str:
        return f"On {self.environment}: {self.said}" if self.environment else self.said

    @property
    def warns(self) -> bool:
        return self.said.startswith("Warning")


def evidence(findings: Iterable[Finding]) -> str:
    """The rows that they rest on, in words: `a at batches 1 and 8; b at batch 8`."""
    sizes: dict[str, list[int]] = {}
    for recipe, size in (cell for one in findings for cell in one.evidence):
        sizes.setdefault(recipe, []).append(size)
    return "; ".join(f"{recipe} at {batches(own)}" for recipe, own in sizes.items())


def finding(topic: str, sentence: str, rows: Iterable[Row]) -> Finding:
    """A finding on one line; a rule without rows to point at has nothing to say."""
    cells = tuple(dict.fromkeys(row.key for row in rows))
    assert cells, sentence
    return Finding(topic, one_line(sentence, limit=4000), cells)


@dataclass(frozen=True)
class Sweep:
    """All rows of a run, the accuracy loss that is allowed (percentage points), and the machine's ceilings.

    And how narrow the intervals of speed-ups were to be, as a half-width in percent.

    Where rows come from several environments, what compares them means nothing: ask each of the `parts`.
    """

    rows: tuple[Row, ...]
    max_accuracy_drop: float = 1.0
    ceilings: Ceilings | None = None
    environment: str = ""  # the name of a part
    precision_target: float = 2.0
    planned: tuple[tuple[str, int], ...] = ()  # cells (recipe, batch size) that the run was to measure
    rounds: int = 0  # that each was to have at least, where that is known

    @cached_property
    def parts(self) -> tuple[Sweep, ...]:
        """A sweep for each environment, named after it; the sweep itself where there is one environment."""
        apart = by_environment(self.rows)
        if len(apart) < 2:
            return (self,)
        # which of the machines the ceilings are of isn't known
        return tuple(
            replace(self, rows=tuple(rows), ceilings=None, environment=name, planned=())
            for name, rows in apart.items()
        )

    @cached_property
    def timed(self) -> tuple[Row, ...]:
        """Rows that ran and have a throughput."""
        return tuple(r for r in self.rows if r.status is Status.OK and r.throughput_samples_per_s)

    @cached_property
    def recipes(self) -> list[str]:
        return recipes_in_order(self.rows)

    @cached_property
    def batch_sizes(self) -> list[int]:
        return sorted({row.batch_size for row in self.timed})

    @cached_property
    def candidates(self) -> tuple[Row, ...]:
        """The best rows of recipes that had an effect and keep the accuracy, where that is judged, fastest first."""
        kept = (row for row in self.best if not self.judged or self.within_limit(row.recipe))
        return tuple(row for row in kept if not without_effect(row))

    @cached_property
    def best(self) -> tuple[Row, ...]:
        """Each recipe's row with the highest throughput, fastest first."""
        rows = [fastest(self.of(recipe))[0] for recipe in self.recipes if self.of(recipe)]
        return tuple(fastest(rows))

    def of(self, recipe: str) -> list[Row]:
        """The timed rows of one recipe, by batch size."""
        return sorted((r for r in self.timed if r.recipe == recipe), key=lambda row: row.batch_size)

    def at(self, batch_size: int) -> list[Row]:
        """The timed rows at one batch size, fastest first."""
        return fastest([row for row in self.timed if row.batch_size == batch_size])

    @cached_property
    def _ok(self) -> dict[str, list[Row]]:
        """Each recipe's rows that ran, by batch size."""
        found: dict[str, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: row.batch_size):
            if row.status is Status.OK:
                found.setdefault(row.recipe, []).append(row)
        return found

    def fact(self, recipe: str, figure: str) -> tuple[float, Row] | None:
        """A recipe's figure by its column's name, at the smallest batch size that has it, with its row."""
        for row in self._ok.get(recipe, ()):
            value: float | None = getattr(row, figure)
            if value is not None:
                return value, row
        return None

    def facts(self, figure: str) -> list[tuple[float, Row]]:
        """`fact` of every recipe that has the figure, in the recipes' order."""
        found = (self.fact(recipe, figure) for recipe in self.recipes)
        return [fact for fact in found if fact is not None]

    def within_limit(self, recipe: str) -> bool:
        """Whether the recipe is seen to keep its accuracy: by the upper bound of what it lost, where there is one.

        Without labels the share of images with another first guess than the baseline's bounds the loss from
        above: an image whose first guess stays can't turn from right to wrong.
        """
        limit = self.max_accuracy_drop + 1e-9  # 99.4 - 98.4 must count as 1
        if recipe == BASELINE:
            return True
        if dropped := self.dropped(recipe):
            return dropped[0] <= limit
        agreeing = self.fact(recipe, "top1_agreement")
        return agreeing is not None and 100 * (1 - agreeing[0]) <= limit

    def dropped(self, recipe: str) -> tuple[float, Row] | None:
        """The top-1 that a recipe may have lost (points): the upper bound where the images are known one by one."""
        return self.fact(recipe, "accuracy_drop_ci_high_pp") or self.fact(recipe, "accuracy_drop_pp")

    @cached_property
    def judged(self) -> bool:
        """Whether anything is known about the accuracy of any recipe against the baseline."""
        known = self.facts("accuracy_drop_pp") + self.facts("top1_agreement")
        return any(row.recipe != BASELINE for _, row in known)


Rule = Callable[[Sweep], Iterable[Finding]]  # what can be said on one matter of the rows of one environment


def apply(rules: Iterable[Rule], sweep: Sweep) -> list[Finding]:
    """The findings of some rules, in their order, each environment's by its own rows."""
    return [
        replace(found, environment=part.environment)
        for rule in rules
        for part in sweep.parts
        for found in rule(part)
    ]


def without_effect(row: Row) -> bool:
    """Whether a row's optimization was seen to change nothing, as the baseline's of course doesn't."""
    return row.effect.startswith(NO_EFFECT) and row.recipe != BASELINE


def fastest(rows: Sequence[Row]) -> list[Row]:
    """Rows by throughput, the highest first; equal ones in their order."""
    return sorted(rows, key=lambda row: -(row.throughput_samples_per_s or 0.0))


def change(row: Row) -> Verdict | None:
    """The row against the baseline: its verdict where there is one, else whether it is beyond ±3 %."""
    if row.verdict is not None:
        return row.verdict
    if row.speedup is None:
        return None
    if abs(row.speedup - 1) <= CLEAR:
        return "same"
    return "faster" if row.speedup > 1 else "slower"


def gap(first: Row, second: Row, word: str) -> str:
    """How far the second row is from the first: `12 % behind`, with a word where their intervals overlap.

    The rows may be of different batch sizes, so what is held against each other are intervals, not paired blocks.
    """
    lag = 1 - throughput(second) / throughput(first)
    if abs(lag) <= CLEAR:
        return "no clear difference"
    close = ", within their intervals" if overlapping(first, second) else ""
    return f"{short(100 * abs(lag), 2)} % {word}{close}"


def overlapping(one: Row, other: Row) -> bool:
    """Whether the intervals of two throughputs share a value; not where one has none."""
    slow, fast = sorted((one, other), key=throughput)
    high, low = slow.throughput_ci_high, fast.throughput_ci_low
    return high is not None and low is not None and low <= high


def throughput(row: Row) -> float:
    """The throughput of a timed row."""
    assert row.throughput_samples_per_s is not None
    return row.throughput_samples_per_s
