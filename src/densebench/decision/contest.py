"""Who is in the running: the recipes that keep the limits and are fast enough, by the rows of the sweep alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from densebench.decision.answer import Reason
from densebench.decision.facts import Facts, best_first, is_better, without_effect
from densebench.decision.objective import SPEEDS, figure
from densebench.decision.reasons import accuracy_reason, broken_limit, nearest_miss
from densebench.results.record import Row
from densebench.spec import BASELINE, Limits, Objective

Tier = Literal["allowed", "too_few_images", "accuracy_unknown"]
TIERS: tuple[Tier, ...] = ("allowed", "too_few_images", "accuracy_unknown")


@dataclass(frozen=True)
class Contest:
    """Who is measured once more.

    Attributes:
        winner: the best row by the objective among those in the running.
        runner_up: the best row of another recipe.
        baseline: the baseline at its best batch size of those where it keeps the limits, or of all if it keeps them
            nowhere.
        baseline_within: whether the baseline keeps the limits at any batch size.
        baseline_breaks: whether it is known to break one at every batch size: a figure may be missing.
        tier: `allowed`, or what keeps the recipes in the running from being recommended.
        reasons: why the other recipes are not in the running.
        faster: for each batch size where an allowed recipe is faster than the baseline, the fastest such row.
        unclear: recipes out of the running that may be faster: some of their intervals hold both.
        narrowed_to: the batch sizes that the choice is limited to, where a limit of memory shuts out others.

    """

    winner: Row | None
    runner_up: Row | None
    baseline: Row | None
    baseline_within: bool
    baseline_breaks: bool
    tier: Tier
    reasons: tuple[Reason, ...]
    faster: tuple[Row, ...]
    unclear: tuple[str, ...] = ()
    narrowed_to: tuple[int, ...] = ()

    def cells(self) -> list[tuple[str, int]]:
        """The cells (recipe, batch size) to measure once more: none where nobody is in the running."""
        if self.winner is None or self.baseline is None:
            return []
        sizes = {self.baseline.batch_size, self.winner.batch_size}
        contenders = [row.key for row in (self.winner, self.runner_up) if row is not None]
        return [*((BASELINE, size) for size in sorted(sizes)), *contenders]


def contend(rows: Sequence[Row], objective: Objective, limits: Limits) -> Contest:
    """Choose the winner and the runner-up by their estimates, among rows that the sweep found fast enough.

    For throughput and latency a row must be `faster` than the baseline, for memory and size it must not be `slower`.
    Any speed is enough where the baseline itself breaks a limit and no recipe that is fast enough keeps them all.
    """
    facts = Facts(rows)
    sizes = facts.considered(objective, limits)
    own = best_first(facts.of(BASELINE, sizes), objective)
    within = [row for row in own if broken_limit(row, facts, limits) is None]
    baseline = next(iter(within or own), None)
    missed = [nearest_miss(own, facts, limits, objective)] if own and not within else []
    standings = [_standing(recipe, facts, sizes, objective, limits) for recipe in facts.recipes]
    nobody = all(row is None for row, _ in standings)
    breaks = any(reason.value is not None for reason in missed)
    if breaks and nobody:  # nothing keeps the limits as fast as it should
        standings = [
            _standing(recipe, facts, sizes, objective, limits, at_any_speed=True) for recipe in facts.recipes
        ]
    if objective not in SPEEDS and within:
        standings = [_against(row, reason, within[0], objective) for row, reason in standings]
    running: dict[Tier, list[Row]] = {tier: [] for tier in TIERS}
    for row, reason in standings:
        if row is not None:
            running[_tier(reason)].append(row)
    tier: Tier = next((tier for tier in TIERS if running[tier]), "allowed")
    ranked = best_first(running[tier], objective)
    return Contest(
        winner=next(iter(ranked), None),
        runner_up=next(iter(ranked[1:]), None),
        baseline=baseline,
        baseline_within=bool(within),
        baseline_breaks=breaks,
        tier=tier,
        reasons=(
            *(_said(row, reason, ranked, objective) for row, reason in standings),
            *missed,
        ),
        faster=_faster(facts, limits),
        unclear=_unclear(facts, sizes, limits, [row for row, _ in standings if row is not None]),
        narrowed_to=tuple(facts.narrowed_to(objective, limits)),
    )


def _tier(reason: Reason | None) -> Tier:
    if reason is None:
        return "allowed"
    return "too_few_images" if reason.kind == "too_few_images" else "accuracy_unknown"


def _said(row: Row | None, reason: Reason | None, ranked: Sequence[Row], objective: Objective) -> Reason:
    """Why a recipe is not the winner; of the winner itself the reason says nothing and is dropped later."""
    if reason is not None:
        return reason
    assert row is not None, "a recipe is in the running, or there is a reason"
    return Reason(
        kind="not_better",
        recipe=row.recipe,
        batch_size=row.batch_size,
        figure=figure(row, objective),
        limit=figure(ranked[0], objective) if ranked else None,
    )


def _standing(
    recipe: str,
    facts: Facts,
    sizes: Sequence[int],
    objective: Objective,
    limits: Limits,
    *,
    at_any_speed: bool = False,
) -> tuple[Row | None, Reason | None]:
    """A recipe's best row that is in the running, and what keeps it from being recommended; or no row and why."""
    own = [
        row for row in best_first(facts.of(recipe, sizes), objective) if figure(row, objective) is not None
    ]
    if not own:
        return None, Reason(kind="not_timed", recipe=recipe)
    lead = own[0]
    told = {"recipe": recipe, "batch_size": lead.batch_size, "figure": figure(lead, objective)}
    if without_effect(lead):
        return None, Reason(kind="no_effect", **told)  # type: ignore[arg-type]
    keeping = [row for row in own if broken_limit(row, facts, limits) is None]
    if not keeping:
        return None, nearest_miss(own if at_any_speed else own[:1], facts, limits, objective)
    quick = [row for row in keeping if at_any_speed or _fast_enough(row, objective)]
    if not quick:
        return None, _too_slow(keeping, objective)
    best = quick[0]
    lost = accuracy_reason(facts, recipe, limits)
    if lost is not None:
        lost = lost.model_copy(update={"batch_size": best.batch_size, "figure": figure(best, objective)})
    return (None if lost is not None and lost.kind == "accuracy_lost" else best), lost


def _fast_enough(row: Row, objective: Objective) -> bool:
    """By the verdict; a row without one was not compared, so it is not known to be fast enough."""
    return row.verdict == "faster" if objective in SPEEDS else row.verdict in ("faster", "same", "unclear")


def _too_slow(rows: Sequence[Row], objective: Objective) -> Reason:
    """The verdict of the row with the best figure, as a reason."""
    row = rows[0]
    return Reason(
        kind="no_interval" if row.verdict is None or row.verdict == "faster" else row.verdict,
        recipe=row.recipe,
        batch_size=row.batch_size,
        value=row.speedup,
        figure=figure(row, objective),
    )


def _against(
    row: Row | None, reason: Reason | None, baseline: Row, objective: Objective
) -> tuple[Row | None, Reason | None]:
    """For memory and size: a recipe that takes no less than the baseline is out of the running."""
    if row is None or is_better(row, baseline, objective):
        return row, reason
    ours, theirs = figure(row, objective), figure(baseline, objective)
    facts = {
        "recipe": row.recipe,
        "batch_size": row.batch_size,
        "figure": ours,
        "value": ours,
        "limit": theirs,
    }
    return None, Reason(kind="not_better", **facts)  # type: ignore[arg-type]


def _unclear(facts: Facts, sizes: Sequence[int], limits: Limits, running: Sequence[Row]) -> tuple[str, ...]:
    """Recipes that the sweep could not tell from the baseline somewhere, and that nothing else is held against."""
    known = {row.recipe for row in running}
    return tuple(
        recipe
        for recipe in facts.recipes
        if recipe not in known
        and accuracy_reason(facts, recipe, limits) is None
        and any(
            row.verdict == "unclear" and not without_effect(row) and broken_limit(row, facts, limits) is None
            for row in facts.of(recipe, sizes)
        )
    )


def _faster(facts: Facts, limits: Limits) -> tuple[Row, ...]:
    """At each batch size that is asked for: the fastest row of a recipe that may be recommended and is faster."""
    sizes = sorted({row.batch_size for row in facts.timed})
    if limits.serving_batch_size is not None:
        sizes = [size for size in sizes if size == limits.serving_batch_size]
    found = []
    for size in sizes:
        able = [
            row
            for recipe in facts.recipes
            for row in facts.of(recipe, [size])
            if row.verdict == "faster"
            and not without_effect(row)
            and broken_limit(row, facts, limits) is None
            and accuracy_reason(facts, recipe, limits) is None
        ]
        found += best_first(able, "throughput")[:1]
    return tuple(found)
