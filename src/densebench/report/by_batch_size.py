"""Where a recipe is faster by the rows of the sweep: figures that no fresh round confirms, and that say so."""

from __future__ import annotations

from collections.abc import Sequence

from densebench.decision import Choice, Decision
from densebench.report.sweep import Sweep
from densebench.text import batches, times


def by_batch_size(sweep: Sweep, decision: Decision) -> str:
    """`By the rows of the sweep, a is fastest at batch 1 (2.90x); at batches 8 and 32 nothing is faster.`."""
    told = _fastest(sweep, decision.by_batch_size)
    there = {choice.batch_size for choice in decision.by_batch_size}
    served = decision.limits.serving_batch_size
    asked = [size for size in sweep.batch_sizes if served in (None, size)]
    if rest := [size for size in decision.narrowed_to or asked if size not in there]:
        told.append(f"at {batches(rest)} no recipe within the limits is seen to be faster than the baseline")
    return f"By the rows of the sweep, {'; '.join(told)}."


def elsewhere(sweep: Sweep, decision: Decision) -> str:
    """Where a recipe is faster by the sweep, of an answer that recommends none; "" where none is.

    The winner and the runner-up are left out at the batch sizes where fresh rounds did not confirm them.
    """
    refused = {choice.key for choice in (decision.winner, decision.runner_up) if choice is not None}
    found = [choice for choice in decision.by_batch_size if choice.key not in refused]
    if not found:
        return ""
    told = f"By the rows of the sweep alone, not confirmed, {'; '.join(_fastest(sweep, found))}."
    if not sweep.confirm_command or decision.limits.serving_batch_size is not None:
        return told
    size = found[0].batch_size
    return f"{told} To confirm a choice at batch {size}, run: {sweep.confirm_command} --serving-batch-size {size}"


def _fastest(sweep: Sweep, choices: Sequence[Choice]) -> list[str]:
    """`a is fastest at batches 1 and 2 (2.10x to 2.90x)`, recipe by recipe."""
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        groups.setdefault(choice.recipe, []).append(choice)
    return [
        f"{name} is fastest at {batches(one.batch_size for one in own)} ({_speedups(sweep, own)})"
        for name, own in groups.items()
    ]


def _speedups(sweep: Sweep, choices: Sequence[Choice]) -> str:
    ratios = [row.speedup for one in choices if (row := sweep.row_of(one)) and row.speedup is not None]
    low, high = times(min(ratios, default=None)), times(max(ratios, default=None))
    return low if low == high else f"{low} to {high}"
