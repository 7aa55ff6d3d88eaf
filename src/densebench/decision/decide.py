"""The decision: the sweep chooses by its rows, fresh rounds confirm the choice, and the answer quotes these alone.

The sweep's estimate of its best row is too high, since being high is what it was chosen for (the winner's curse). So
the winner and the runner-up are each tested in rounds that had no part in the choice, one-sided at 1 %, against the
baseline at its best batch size, and at their own where the baseline was measured there too.
"""

from __future__ import annotations

from collections.abc import Sequence

from densebench.decision.answer import Choice, Decision, Outcome, Ratio, Reason
from densebench.decision.asides import process_setting, sooner
from densebench.decision.confirmation import LEVEL, Confirmation
from densebench.decision.contest import Contest, contend
from densebench.decision.facts import Facts
from densebench.decision.objective import SPEEDS, figure
from densebench.results.record import Row
from densebench.spec import BASELINE, Limits, Objective

NO_CONFIRMATION = Confirmation()
NO_LIMITS = Limits()


def decide(
    rows: Sequence[Row],
    confirmation: Confirmation = NO_CONFIRMATION,
    objective: Objective = "throughput",
    limits: Limits = NO_LIMITS,
) -> Decision:
    """What to deploy.

    Args:
        rows: a sweep's rows of one environment, failed and skipped ones too.
        confirmation: what was measured after the choice.
        objective: what to optimize.
        limits: what a recommended recipe must keep.

    """
    contest = contend(rows, objective, limits)
    answer = _Answer(rows, confirmation, objective, limits, contest)
    outcome = _without_contender(Facts(rows), contest, objective)
    if outcome is not None:
        keeps = outcome in ("keep_baseline", "nothing_to_compare")
        return answer.of(outcome, None, deployed=contest.baseline if keeps else None)
    winner = contest.winner
    assert winner is not None, "somebody is in the running"
    if contest.tier == "too_few_images":
        return answer.of("too_few_images", winner)
    if contest.tier == "accuracy_unknown":
        return answer.of("accuracy_not_judged", winner)
    return _confirmed(answer, contest)


def _without_contender(facts: Facts, contest: Contest, objective: Objective) -> Outcome | None:
    """What is answered where nobody is in the running; None where somebody is."""
    others = [row for row in facts.timed if row.recipe != BASELINE]
    compared = [row for row in others if figure(row, objective) is not None]
    base = contest.baseline
    answers: tuple[tuple[bool, Outcome | None], ...] = (  # the first that holds
        (not facts.timed, "nothing_timed"),
        (base is None, "no_baseline"),
        (not others, "nothing_to_compare"),
        (base is not None and figure(base, objective) is None, "no_figure"),
        (not compared, "no_figure"),
        (contest.winner is not None, None),
        (not contest.baseline_within, "no_limit_met"),
        (all(row.verdict is None for row in others), "no_intervals"),
        (True, "keep_baseline"),
    )
    return next(outcome for holds, outcome in answers if holds)


def _confirmed(answer: _Answer, contest: Contest) -> Decision:
    """The first of winner and runner-up that fresh rounds confirm."""
    contenders = [row for row in (contest.winner, contest.runner_up) if row is not None]
    if not answer.tried(contenders[0]):
        return answer.of("unconfirmed", contenders[0])
    sound = [row for row in contenders if answer.confirms(row)]
    if len(sound) > 1 and answer.overtaken(*sound):
        sound = sound[1:]
    if sound:
        return answer.of("deploy", sound[0], deployed=sound[0])
    for row in contenders:
        same = answer.at_same_size(row)
        if same is not None and same.p < LEVEL and answer.objective in SPEEDS and contest.baseline_within:
            return answer.of("at_batch_size", row, deployed=contest.baseline)
    return answer.of("not_confirmed", contenders[0])


class _Answer:
    """What all answers about the same rows have in common."""

    def __init__(
        self,
        rows: Sequence[Row],
        confirmation: Confirmation,
        objective: Objective,
        limits: Limits,
        contest: Contest,
    ) -> None:
        self.objective = objective
        self._facts = Facts(rows)
        self._confirmation = confirmation
        self._limits = limits
        self._contest = contest

    def tried(self, row: Row) -> bool:
        """Whether the row's cell was measured again, even if it broke."""
        return self.against_best(row) is not None or row.key in self._confirmation.broken

    def overtaken(self, winner: Row, runner_up: Row) -> bool:
        """Whether fresh rounds show that the runner-up is faster than the winner, where speed is what counts."""
        margin = self._confirmation.ratio(winner.key, runner_up.key)
        return self.objective in SPEEDS and margin is not None and margin.high is not None and margin.high < 1

    def against_best(self, row: Row) -> Ratio | None:
        """A row over the baseline at its best batch size, by the confirmation."""
        baseline = self._contest.baseline
        return None if baseline is None else self._confirmation.ratio(row.key, baseline.key)

    def at_same_size(self, row: Row) -> Ratio | None:
        """A row over the baseline at the row's own batch size, by the confirmation."""
        return self._confirmation.ratio(row.key, (BASELINE, row.batch_size))

    def confirms(self, row: Row) -> bool:
        """Whether fresh rounds show what the objective asks for.

        For throughput and latency that the row is faster than the baseline at both batch sizes; for memory and size
        that it is not slower. Where the baseline is known to break a limit, nothing has to be shown.
        """
        best, same = self.against_best(row), self.at_same_size(row)
        if best is None:
            return False
        if self._contest.baseline_breaks:
            return True
        if self.objective in SPEEDS:
            return best.p < LEVEL and (same is None or same.p < LEVEL)
        return same is None or 1 - same.p >= LEVEL

    def of(self, outcome: Outcome, row: Row | None, *, deployed: Row | None = None) -> Decision:
        """The whole answer, about one row."""
        contest, baseline = self._contest, self._contest.baseline
        other = contest.runner_up if row is not None and row is contest.winner else None
        base_speed = None if baseline is None else self._confirmation.images_per_s(baseline.key)
        images = next((r.images for r in contest.reasons if row is not None and r.recipe == row.recipe), None)
        return Decision(
            outcome=outcome,
            objective=self.objective,
            limits=self._limits,
            winner=self._choice(row),
            runner_up=self._choice(other),
            deployed=self._choice(deployed),
            baseline=self._choice(baseline),
            baseline_within=contest.baseline_within,
            baseline_broke=any(recipe == BASELINE for recipe, _ in self._confirmation.broken),
            against_best=None if row is None else self.against_best(row),
            at_same_size=None if row is None else self.at_same_size(row),
            in_sweep=None if row is None else _in_sweep(row),
            margin=self._confirmation.ratio(row.key, other.key) if row and other else None,
            winner_images_per_s=None if row is None else self._confirmation.images_per_s(row.key),
            baseline_images_per_s=base_speed,
            by_batch_size=tuple(choice for one in contest.faster if (choice := self._choice(one))),
            unclear=contest.unclear,
            narrowed_to=contest.narrowed_to,
            sooner=self._choice(sooner(self._facts, row, self._limits)) if row else None,
            process_setting=self._choice(process_setting(self._facts, row)) if row else None,
            images=images,
            seen_images=len(self._facts.labels(BASELINE)) or None,
            reasons=self._reasons(row),
        )

    def _choice(self, row: Row | None) -> Choice | None:
        if row is None:
            return None
        value = figure(row, self.objective)
        return Choice(recipe=row.recipe, batch_size=row.batch_size, figure=value, artifact=row.artifact)

    def _reasons(self, chosen: Row | None) -> tuple[Reason, ...]:
        """For every recipe but the one that the answer is about; a winner that fresh rounds refused says so."""
        winner = self._contest.winner
        told = []
        for reason in self._contest.reasons:
            if chosen is not None and reason.recipe == chosen.recipe:
                continue
            if chosen is not winner and winner is not None and reason.recipe == winner.recipe:
                ratio = self.against_best(winner)
                refused = {"kind": "not_confirmed", "value": ratio.value if ratio else None, "limit": None}
                told.append(reason.model_copy(update=refused))
            else:
                told.append(reason)
        return tuple(told)


def _in_sweep(row: Row) -> Ratio | None:
    if row.speedup is None:
        return None
    return Ratio(value=row.speedup, low=row.speedup_ci_low, high=row.speedup_ci_high)
