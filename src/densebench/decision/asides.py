"""What else a deployer should know: who answers sooner, and what a setting of the process alone brings."""

from __future__ import annotations

from densebench.decision.facts import Facts, best_first, without_effect
from densebench.decision.reasons import accuracy_reason, broken_limit
from densebench.results.record import Row
from densebench.spec import Limits


def sooner(facts: Facts, winner: Row, limits: Limits) -> Row | None:
    """A recipe that may be recommended and answers sooner than the winner at the smallest batch size.

    The intervals of the two rows share no value.
    """
    smallest = min(row.batch_size for row in facts.timed)
    own = next(iter(facts.of(winner.recipe, [smallest])), None)
    if own is None or own.throughput_ci_high is None or limits.serving_batch_size not in (None, smallest):
        return None
    for row in best_first([row for row in facts.timed if row.batch_size == smallest], "throughput"):
        apart = row.throughput_ci_low is not None and row.throughput_ci_low > own.throughput_ci_high
        allowed = not without_effect(row) and broken_limit(row, facts, limits) is None
        if apart and allowed and accuracy_reason(facts, row.recipe, limits) is None:
            return row
    return None


def process_setting(facts: Facts, winner: Row) -> Row | None:
    """The best recipe that only sets something of the process, where it is faster at the winner's batch size."""
    if winner.process_setting:
        return None
    rows = [
        row
        for row in facts.timed
        if row.batch_size == winner.batch_size and row.process_setting and row.verdict == "faster"
    ]
    return next(iter(best_first(rows, "throughput")), None)
