"""The answer in words: the decision's headline, the runner-up, and what the recommended recipe costs.

Nothing is decided here: `decision.decide` did that.
"""

from __future__ import annotations

from densebench.decision import Decision
from densebench.decision.objective import SPEEDS, latency_ms, memory_mb
from densebench.report.headline import headline
from densebench.report.sweep import Finding, Sweep, apply, finding
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import duration, joined, one_line, short, times


def answer_in_words(sweep: Sweep) -> str:
    """The whole answer as plain text for the console."""
    return " ".join(one.sentence for group in recommendations(sweep) for one in group)


def recommendations(sweep: Sweep) -> list[list[Finding]]:
    """What `recommend` says, environment by environment."""
    return [apply((recommend,), part) for part in sweep.parts]


def recommend(sweep: Sweep) -> list[Finding]:
    """The headline, the runner-up, and what speaks for and against the recipe that the answer is about."""
    decision = sweep.decision
    rows = [
        row for choice in (decision.winner, decision.baseline) if choice and (row := sweep.row_of(choice))
    ]
    evidence = tuple(dict.fromkeys(row.key for row in rows))
    found = [Finding("recommendation", one_line(headline(sweep), limit=4000), evidence)]
    winner = sweep.row_of(decision.winner) if decision.winner else None
    if decision.outcome not in ("deploy", "at_batch_size") or winner is None:
        return found
    if told := _runner_up(decision):
        found.append(Finding("recommendation", one_line(told, limit=4000), evidence))
    details, more = _details(sweep, decision, winner)
    return [*found, finding("recommendation", " ".join(details), [winner, *more])] if details else found


def _details(sweep: Sweep, decision: Decision, winner: Row) -> tuple[list[str], list[Row]]:
    """What else a deployer should know, and the rows that it rests on besides the winner's."""
    details, more = [], []
    if winner.streams > 1:
        details.append(
            f"{winner.recipe} answers {winner.streams} batches at once: its images per second are of all of them, "
            "and the latency of a batch isn't known."
        )
    if said := _same_size(decision):
        details.append(said)
    if (setting := sweep.row_of(decision.process_setting)) is not None:
        details.append(
            f"A process setting alone, {setting.recipe}, gives {times(setting.speedup)} the baseline's speed at "
            f"batch {setting.batch_size}: that part of the gain there needs no other engine."
        )
        more.append(setting)
    if (sooner := sweep.row_of(decision.sooner)) is not None:
        median = f"median {short(sooner.latency_p50_ms)} ms"
        details.append(f"At batch {sooner.batch_size}, {sooner.recipe} answers sooner ({median}).")
        more.append(sooner)
    if kept := _kept(decision, winner, sweep):
        details.append(kept)
    if costs := _costs(winner, sweep):
        details.append(f"{winner.recipe} costs {costs}.")
    details += [f"Note: {caveat.text.rstrip('.')}." for caveat in winner.caveats]
    if winner.stable is False:
        details.append("Its row was measured with interference.")
    return details, more


def _same_size(decision: Decision) -> str:
    """The ratio at the winner's own batch size, where the headline's is of two batch sizes."""
    same, winner, baseline = decision.at_same_size, decision.winner, decision.baseline
    if same is None or winner is None or baseline is None or winner.batch_size == baseline.batch_size:
        return ""
    if decision.outcome == "at_batch_size":
        return ""
    ends = "" if same.low is None else f" ({times(same.low)} to {times(same.high)})"
    return f"Against the baseline at batch {winner.batch_size} too, it gives {times(same.value)}{ends}."


def _runner_up(decision: Decision) -> str:
    other, margin, winner = decision.runner_up, decision.margin, decision.winner
    if other is None or winner is None:
        return ""
    if decision.objective not in SPEEDS:
        return f"Next is {other.recipe} with {short(other.figure)} MB."
    where = f"{other.recipe} at batch {other.batch_size}"
    if margin is None or margin.low is None or margin.high is None:
        return f"Next is {where}."
    ends = f"{times(margin.low)} to {times(margin.high)} with 95 % confidence"
    if margin.low <= 1 <= margin.high:
        return f"Next is {where}: fresh rounds don't tell whether {winner.recipe} is faster ({ends})."
    return f"Next is {where}: {winner.recipe} gives {times(margin.value)} its images per second ({ends})."


def _kept(decision: Decision, winner: Row, sweep: Sweep) -> str:
    """The limits of latency, memory and size with the winner's figures: `Within the limits: p95 12.3 ms of 20 …`."""
    limits = decision.limits
    taken_ms, which = latency_ms(winner)
    size = sweep.fact(winner.recipe, "model_size_mb")
    figures = (
        (f"{which} latency", taken_ms, limits.max_latency_ms, "ms"),
        ("memory", memory_mb(winner), limits.max_memory_mb, "MB"),
        ("size", size[0] if size else None, limits.max_size_mb, "MB"),
    )
    told = [
        f"{what} {short(value)} of {limit:g} {unit}"
        for what, value, limit, unit in figures
        if limit is not None and value is not None
    ]
    return f"Within the limits: {joined(told)}." if told else ""


def _costs(winner: Row, sweep: Sweep) -> str:
    costs = []
    if build := sweep.fact(winner.recipe, "build_s"):
        costs.append(f"{duration(build[0])} to build")
    if size := sweep.fact(winner.recipe, "model_size_mb"):
        costs.append(f"{short(size[0])} MB on disk{_against(size[0], sweep.fact(BASELINE, 'model_size_mb'))}")
    for name, kind in (
        ("vram_driver_peak_mb", "peak GPU memory"),
        ("deploy_memory_mb", "memory in a program of its own"),
        ("host_memory_peak_mb", "peak memory"),
    ):
        if (value := getattr(winner, name)) is not None:
            costs.append(f"{value:.0f} MB of {kind}")
            break
    return joined(costs)


def _against(value: float, base: tuple[float, Row] | None) -> str:
    return "" if base is None or base[0] == value else f" (baseline {short(base[0])} MB)"
