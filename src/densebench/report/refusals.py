"""Reasons in words: why a recipe that looks better than the recommended one is not recommended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from densebench.decision import Reason
from densebench.report.sweep import Finding, Sweep, finding
from densebench.spec import BASELINE
from densebench.text import joined, points, short, times

VERDICTS = ("slower", "same", "unclear", "no_interval")
LIMITED = ("latency", "memory", "size")  # kinds of reasons: a figure against its limit
MOST_MISSES = 3  # near misses that are named


def refused(sweep: Sweep) -> Iterator[Finding]:
    """Recipes with a better figure than the recommended one's, each with the limit that it failed."""
    if sweep.chosen is None:
        return
    chosen = sweep.chosen
    for reason in sweep.decision.reasons:
        row = sweep.find(reason.recipe, reason.batch_size)
        if row is None or reason.kind not in _WORDS or not sweep.outdoes(reason):
            continue
        if chosen.recipe == BASELINE and reason.kind in VERDICTS:  # the lists say so
            continue
        unlike = "" if row.batch_size == chosen.batch_size else f" at batch {row.batch_size}"
        yield finding(
            "refused",
            f"{row.recipe}{unlike} {_looks(sweep, reason)} than {chosen.recipe} in the sweep, but {words(reason)}.",
            [row, chosen],
        )


def _looks(sweep: Sweep, reason: Reason) -> str:
    unit = {"throughput": "images/s", "latency": "ms", "memory": "MB", "size": "MB"}[sweep.objective]
    better = {
        "throughput": "is faster",
        "latency": "has the lower median latency",
        "memory": "takes less",
        "size": "is smaller",
    }
    return f"{better[sweep.objective]} ({short(reason.figure)} {unit})"


def words(reason: Reason) -> str:
    """The reason as the end of a sentence whose subject is the recipe."""
    return _WORDS[reason.kind](reason) if reason.kind in _WORDS else "is not better"


def _lost(reason: Reason) -> str:
    drop, most = reason.observed or 0.0, reason.value or 0.0
    bound = f" (up to {most:.2f} with 95 % confidence)" if most > drop else ""
    return f"loses {drop:.2f} percentage points of top-1{bound}"


def _unproven(reason: Reason) -> str:
    enough = "" if reason.images is None else f": about {reason.images:,} would be enough"
    return (
        f"may lose up to {reason.value or 0:.2f} percentage points of top-1, which {moved(reason.observed or 0.0)} "
        f"as measured: too few images to tell with 95 % confidence{enough}"
    )


def _over(what: str, unit: str) -> Callable[[Reason], str]:
    def told(reason: Reason) -> str:
        if reason.value is None:
            elsewhere = (
                " (--serving-batch-size names the batch size to measure it at)" if what == "memory" else ""
            )
            return (
                f"has no known {what} at batch {reason.batch_size} to hold against the limit of "
                f"{short(reason.limit)} {unit}{elsewhere}"
            )
        which = f"{reason.which} " if reason.which else ""
        return (
            f"breaks the limit of {what}: {which}{short(reason.value)} {unit}, allowed {short(reason.limit)}"
        )

    return told


def _verdict(reason: Reason) -> str:
    told = {
        "slower": "is slower than the baseline there",
        "same": "is no faster than the baseline there",
        "unclear": "is not clearly faster than the baseline there",
    }[reason.kind]
    return told if reason.value is None else f"{told} ({times(reason.value)})"


_WORDS: dict[str, Callable[[Reason], str]] = {
    "no_effect": lambda reason: "does not do here what it is named for",
    "accuracy_lost": _lost,
    "too_few_images": _unproven,
    "accuracy_unknown": lambda reason: "its accuracy, or the baseline's, is not known",
    "latency": _over("latency", "ms"),
    "memory": _over("memory", "MB"),
    "size": _over("size", "MB"),
    "slower": _verdict,
    "same": _verdict,
    "unclear": _verdict,
    "no_interval": lambda reason: "its rows have no interval",
    "not_confirmed": lambda reason: (
        "it broke when it was measured again"
        if reason.value is None
        else f"fresh rounds did not confirm it ({times(reason.value)} the baseline at its best batch size)"
    ),
}


def moved(drop_pp: float) -> str:
    """Where a top-1 went."""
    loss = round(drop_pp, 2)
    return f"falls by {loss:.2f}" if loss > 0 else f"rises by {-loss:.2f}" if loss < 0 else "stays"


def accuracy_of(sweep: Sweep, recipe: str) -> str:
    """`its top-1 falls by 0.50 (a loss of at most 0.90 …), within the limit of 1 percentage point`."""
    dropped = sweep.fact(recipe, "accuracy_drop_pp")
    assert dropped is not None, "what is recommended has a known accuracy"
    bound = sweep.fact(recipe, "accuracy_drop_ci_high_pp")
    most = "" if bound is None else f" (a loss of at most {bound[0]:.2f} with 95 % confidence)"
    limit = points(sweep.limits.max_accuracy_drop)
    return f"its top-1 {moved(dropped[0])}{most}, within the limit of {limit}"


def unmeasured(sweep: Sweep) -> str:
    """`The memory of quick at batch 8 is not known.`: figures that a limit holds against and no row has."""
    groups: dict[tuple[str, int | None], list[str]] = {}
    for reason in sweep.decision.reasons:
        if reason.kind in LIMITED and reason.value is None:
            the = "the " if reason.recipe == BASELINE else ""
            groups.setdefault((reason.kind, reason.batch_size), []).append(f"{the}{reason.recipe}")
    told = [f"the {kind} of {joined(names)} at batch {size}" for (kind, size), names in groups.items()]
    return f"Not known, so not held against a limit: {'; '.join(told)}." if told else ""


def misses(sweep: Sweep) -> list[str]:
    """The recipes that break a limit by the least, with the figure and the limit."""
    near = sorted(
        (r for r in sweep.decision.reasons if r.kind in LIMITED and r.value and r.limit),
        key=lambda reason: (reason.value or 0.0) / (reason.limit or 1.0),
    )
    return [
        f"{'the ' if reason.recipe == BASELINE else ''}{reason.recipe} ({measured(reason)})"
        for reason in near[:MOST_MISSES]
    ] + [f"{one.recipe}, which {words(one)}" for one in sweep.decision.reasons if one.kind == "accuracy_lost"]


def measured(reason: Reason) -> str:
    """A limit that is broken, in short: `p95 latency 26.1 ms, limit 20.0`, or `memory not known, limit 500`."""
    if reason.value is None:
        return f"{reason.kind} not known, limit {short(reason.limit)}"
    unit = "ms" if reason.kind == "latency" else "MB"
    what = " ".join(filter(None, (reason.which, reason.kind)))
    return f"{what} {short(reason.value)} {unit}, limit {short(reason.limit)}"
