"""Parts of the answer's sentences: a ratio with its interval, a recipe with its batch size, a pair of speeds."""

from __future__ import annotations

from densebench.decision import Choice, Decision, Ratio
from densebench.text import short, times

CONFIDENT = "with 95 % confidence"


def both(decision: Decision) -> tuple[Choice, Choice]:
    """The winner and the baseline, of an answer that is about a recipe."""
    assert decision.winner is not None, "the outcome is about a recipe"
    assert decision.baseline is not None, "a recipe is in the running against the baseline"
    return decision.winner, decision.baseline


def placed(choice: Choice) -> str:
    """`a at batch 8`."""
    return f"{choice.recipe} at batch {choice.batch_size}"


def ratio(found: Ratio | None) -> str:
    """`6.88x (5.92x to 7.99x with 95 % confidence)`."""
    if found is None:
        return "an unknown multiple of"
    ends = "" if found.low is None else f" ({times(found.low)} to {times(found.high)} {CONFIDENT})"
    return times(found.value) + ends


def gain(decision: Decision) -> str:
    """The winner over the baseline, of an answer that is no recommendation: by fresh rounds where there are some."""
    if decision.against_best is not None:
        best = "the baseline at its best batch size"
        return f"{ratio(decision.against_best)} {best}, measured again {rounds(decision)}"
    return f"{ratio(decision.in_sweep)} the baseline at that batch size, in the sweep"


def rounds(decision: Decision) -> str:
    """`in 6 fresh rounds`."""
    found = decision.against_best or decision.at_same_size
    return f"in {found.rounds} fresh rounds" if found is not None else "in fresh rounds"


def speeds(one: float | None, other: float | None) -> str:
    """` (240 against 35.0)`, where both are known."""
    return "" if one is None or other is None else f" ({short(one)} against {short(other)})"


def within_limits(decision: Decision) -> str:
    """` within the limits`: said of the best batch size where limits may shut out others."""
    limits = (decision.limits.max_latency_ms, decision.limits.max_memory_mb, decision.limits.max_size_mb)
    return " within the limits" if any(limit is not None for limit in limits) else ""


def best_word(decision: Decision) -> str:
    """The superlative of the objective."""
    words = {"memory": "leanest in memory", "size": "smallest"}
    return words.get(decision.objective, "fastest")
