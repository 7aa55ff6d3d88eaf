"""A sweep's rows, looked at in the ways that the rules of the analysis need, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from densebench.decision import Choice, Confirmation, Decision, Reason, decide
from densebench.decision.decide import NO_LIMITS
from densebench.decision.facts import Facts
from densebench.decision.objective import better
from densebench.decision.reasons import accuracy_reason
from densebench.results.ceilings import Ceilings
from densebench.results.derive import by_environment
from densebench.results.observation import Status
from densebench.results.record import Record, Row, recipes_in_order
from densebench.spec import BASELINE, Limits, Objective
from densebench.stats.speedup import CLEAR, Verdict
from densebench.text import batches, one_line, short


@dataclass(frozen=True)
class Finding:
    """One sentence of the analysis, with the cells (recipe, batch size) that it rests on.

    The sentence is plain text: names in it come from the data, so whoever prints it escapes it.
    """

    topic: str
    said: str
    evidence: tuple[tuple[str, int], ...]
    environment: str = ""  # whose rows these are, where the sweep has several
    warns: bool = False

    @property
    def sentence(self) -> str:
        said = f"Warning: {self.said}" if self.warns else self.said
        return f"On {self.environment}: {said}" if self.environment else said


def evidence(findings: Iterable[Finding]) -> str:
    """The rows that they rest on, in words: `a at batches 1 and 8; b at batch 8`."""
    sizes: dict[str, list[int]] = {}
    for recipe, size in (cell for one in findings for cell in one.evidence):
        sizes.setdefault(recipe, []).append(size)
    return "; ".join(f"{recipe} at {batches(own)}" for recipe, own in sizes.items())


def finding(topic: str, sentence: str, rows: Iterable[Row], *, warns: bool = False) -> Finding:
    """A finding on one line; a rule without rows to point at has nothing to say."""
    cells = tuple(dict.fromkeys(row.key for row in rows))
    assert cells, sentence
    return Finding(topic, one_line(sentence, limit=4000), cells, warns=warns)


@dataclass(frozen=True)
class Sweep:
    """All rows of a run, with what was asked for, the fresh rounds of the choice, and the machine's ceilings.

    Where rows come from several environments, what compares them means nothing: ask each of the `parts`.
    """

    rows: tuple[Row, ...]
    limits: Limits = NO_LIMITS
    objective: Objective = "throughput"
    confirmation: tuple[Record, ...] = ()
    confirm_command: str = ""  # what measures the fresh rounds that are missing
    ceilings: Ceilings | None = None
    environment: str = ""  # the name of a part
    precision_target: float = 2.0  # of a speed-up's interval at focus batch sizes: half its width in percent
    planned: tuple[tuple[str, int], ...] = ()  # cells (recipe, batch size) that the run was to measure
    rounds: int = 0  # that each was to have, where that is known
    focus_rounds: int = 0  # the same at focus batch sizes
    focus_batch_sizes: tuple[int, ...] = ()
    rounds_at_first: int = 0  # at focus batch sizes, before a resume added some

    def focused(self, row: Row) -> bool:
        """Whether a row has the rounds of a focus batch size; what is emulated has no more there than elsewhere."""
        return row.batch_size in self.focus_batch_sizes and (row.paired or row.device != "cpu")

    def rounds_of(self, row: Row) -> int:
        """In how many rounds a row was to be measured."""
        return max(self.rounds, self.focus_rounds) if self.focused(row) else self.rounds

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
    def decision(self) -> Decision:
        """What to deploy, of rows of one environment."""
        own = {row.environment_id for row in self.rows}
        fresh = Confirmation.of(record for record in self.confirmation if record.environment_id in own)
        return decide(self.rows, fresh, self.objective, self.limits)

    @cached_property
    def chosen(self) -> Row | None:
        """The row to deploy; None where nothing is recommended, and of several environments."""
        if len(self.parts) > 1:
            return None
        return self.row_of(self.decision.deployed)

    @property
    def artifact(self) -> str:
        """The folder to deploy, relative to the results; empty where nothing is recommended."""
        return self.decision.artifact if len(self.parts) == 1 else ""

    def row_of(self, choice: Choice | None) -> Row | None:
        """The row that a choice names."""
        return None if choice is None else self.find(*choice.key)

    def find(self, recipe: str, batch_size: int | None) -> Row | None:
        """The timed row of a cell."""
        return next((row for row in self.timed if row.key == (recipe, batch_size)), None)

    def doubt(self, recipe: str) -> Reason | None:
        """What keeps a recipe from being recommended for its accuracy; None where nothing does."""
        return None if recipe == BASELINE else accuracy_reason(Facts(self.rows), recipe, self.limits)

    def outdoes(self, reason: Reason) -> bool:
        """Whether the row of a reason has a better figure than the row to deploy."""
        chosen = self.decision.winner or self.decision.baseline
        if chosen is None or chosen.figure is None or reason.figure is None:
            return False
        return better(reason.figure, chosen.figure, self.objective)

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

    def dropped(self, recipe: str) -> tuple[float, Row] | None:
        """The top-1 that a recipe may have lost (points): the upper bound where the images are known one by one."""
        return self.fact(recipe, "accuracy_drop_ci_high_pp") or self.fact(recipe, "accuracy_drop_pp")


Rule = Callable[[Sweep], Iterable[Finding]]  # what can be said on one matter of the rows of one environment


def apply(rules: Iterable[Rule], sweep: Sweep) -> list[Finding]:
    """The findings of some rules, in their order, each environment's by its own rows."""
    return [
        replace(found, environment=part.environment)
        for rule in rules
        for part in sweep.parts
        for found in rule(part)
    ]


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

    The rows may be of different batch sizes, so intervals are compared, not speeds within rounds.
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
