"""What a decision consists of. Text is made of it elsewhere; nothing here is parsed."""

from __future__ import annotations

from typing import Literal

from pydantic import computed_field

from densebench.schema import Frozen
from densebench.spec import Limits, Objective

Outcome = Literal[
    "deploy",  # the winner was confirmed
    "at_batch_size",  # the winner is faster at its batch size, and not than the baseline at its best one
    "keep_baseline",  # no recipe within the limits is faster at any batch size
    "not_confirmed",  # the sweep saw a winner, and fresh rounds did not
    "unconfirmed",  # the sweep saw a winner, and no fresh rounds were measured for it
    "too_few_images",  # the fastest recipe may keep the accuracy; the images can't show it
    "accuracy_not_judged",  # no accuracy is known, so the fastest recipe is named and not recommended
    "no_limit_met",  # nothing is known to keep the limits
    "no_figure",  # what the objective compares is not known of the baseline, or of any recipe
    "no_intervals",  # one process a row: nothing can be told apart
    "no_baseline",  # nothing to compare with
    "nothing_to_compare",  # the baseline alone was timed
    "nothing_timed",
]
ReasonKind = Literal[
    "not_timed",
    "no_effect",
    "accuracy_lost",
    "too_few_images",
    "accuracy_unknown",
    "latency",
    "memory",
    "size",
    "slower",
    "same",
    "unclear",
    "no_interval",
    "not_better",  # allowed, and another one is better by the objective
    "not_confirmed",
]


class Reason(Frozen):
    """The one limit or comparison that a recipe failed.

    Attributes:
        kind: which one.
        recipe: whose reason it is.
        batch_size: of the row that it was closest with; None where no row was timed.
        value: what was measured, in the unit of the limit: ms, MB, percentage points of top-1, or times as fast.
        limit: what it is held against.
        observed: of an accuracy: the loss as measured, in percentage points; `value` is its upper bound.
        images: of `too_few_images`: how many would be enough; None where no number is.
        figure: the objective's figure of that row.
        which: of a latency: whether `value` is a p95, a p50 or a mean.

    """

    kind: ReasonKind
    recipe: str
    batch_size: int | None = None
    value: float | None = None
    limit: float | None = None
    observed: float | None = None
    images: int | None = None
    figure: float | None = None
    which: str = ""


class Choice(Frozen):
    """A recipe at its batch size, and the objective's figure of that row."""

    recipe: str
    batch_size: int
    figure: float | None = None
    artifact: str = ""

    @property
    def key(self) -> tuple[str, int]:
        return (self.recipe, self.batch_size)


class Ratio(Frozen):
    """How many times as fast one is as the other, with the ends of its 95 % interval.

    `p` is how likely so high a ratio is where neither is faster: one-sided, by Student's t over rounds.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float = 1.0
    rounds: int = 0


class Decision(Frozen):
    """What to deploy, and what speaks for it.

    Attributes:
        outcome: which kind of answer this is.
        objective: what was optimized.
        limits: what a recommended recipe had to keep.
        winner: the recipe that the answer is about, at its own batch size; None where there is none.
        runner_up: the next one.
        deployed: the recipe whose artifact is to be deployed; None where none is recommended.
        baseline: the baseline at its best batch size within the limits, or of all where it breaks them everywhere.
        baseline_within: whether the baseline keeps the limits at any batch size.
        baseline_broke: whether it broke when it was measured again.
        against_best: the winner over the baseline at its best batch size, by the confirmation alone.
        at_same_size: the winner over the baseline at the winner's batch size, by the confirmation alone.
        in_sweep: the same by the sweep's row, which was chosen for being high: for answers without a confirmation.
        margin: the winner over the runner-up, by the confirmation alone.
        winner_images_per_s: by the confirmation; `baseline_images_per_s` too, at the baseline's best batch size.
        by_batch_size: where a recipe is faster than the baseline, the fastest one within the limits.
        unclear: recipes that may be faster, which the sweep could not tell from the baseline.
        narrowed_to: the batch sizes that the choice is limited to, where a limit of memory shuts out those at which
            memory was not measured; empty where none is shut out.
        sooner: a recipe that may be recommended and answers sooner at the smallest batch size, beyond both intervals.
        process_setting: the best recipe that only sets something of the process, faster at the winner's batch size.
        images: of `too_few_images`: how many would bound the loss by the limit; None where no number does.
        seen_images: how many there were.
        reasons: for each other recipe the one limit or comparison that it failed.

    """

    outcome: Outcome
    objective: Objective
    limits: Limits
    winner: Choice | None = None
    runner_up: Choice | None = None
    deployed: Choice | None = None
    baseline: Choice | None = None
    baseline_within: bool = True
    baseline_broke: bool = False
    against_best: Ratio | None = None
    at_same_size: Ratio | None = None
    in_sweep: Ratio | None = None
    margin: Ratio | None = None
    winner_images_per_s: float | None = None
    baseline_images_per_s: float | None = None
    by_batch_size: tuple[Choice, ...] = ()
    unclear: tuple[str, ...] = ()
    narrowed_to: tuple[int, ...] = ()
    sooner: Choice | None = None
    process_setting: Choice | None = None
    images: int | None = None
    seen_images: int | None = None
    reasons: tuple[Reason, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def artifact(self) -> str:
        """The folder to deploy, relative to the results; empty where the answer names none."""
        return self.deployed.artifact if self.deployed else ""
