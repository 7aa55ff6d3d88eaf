"""Timed processes to throughput, speed-up, their intervals and a verdict.

Latencies of one process agree with each other far better than with those of the next process, so processes are what
is replicated. They come in rounds: a round is a complete randomized block of one process of every recipe and two of
the baseline. A round gives one logarithm of the speed-up, in which whatever slowed the whole round cancels, and the
interval is Student's over rounds. For this balanced design that is what a mixed model with random rounds and
processes gives (Searle, Casella & McCulloch, Variance Components, 4), without assuming that all recipes scatter
alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Literal

from densebench.stats.samples import CONFIDENCE, mean

Verdict = Literal["faster", "slower", "same", "unclear"]
Slices = Sequence[tuple[Sequence[float], Sequence[float]]]  # of each pair: own and reference calls, in ms

CLEAR = 0.03  # speed-ups within 1 ± this are no difference
MOST_LOGARITHM = 300.0  # of a ratio: quotients and roots of such ratios are still floats


@dataclass(frozen=True)
class Process:
    """What one process measured: its round, the mean time of one batch in ms, and what pairs say of it.

    Attributes:
        log_ratio: the logarithm of the reference process's time over this one's, where there are pairs.

    """

    round: int
    mean_ms: float
    log_ratio: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A ratio or a rate, with the ends of its interval where there are replicates to tell them from."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half of the interval's width, as a share of the estimate."""
        return None if self.low is None or self.high is None else math.sqrt(self.high / self.low) - 1


def process(round_: int, samples_ms: Sequence[float], pairs: Slices = ()) -> Process:
    """A process from its single calls, or from its pairs with the reference process."""
    if not pairs:
        return Process(round_, mean(samples_ms))
    own_ms = [*samples_ms, *chain.from_iterable(own for own, _ in pairs)]
    return Process(round_, mean(own_ms), log_ratio(pairs))


def log_ratio(pairs: Slices) -> float:
    """The logarithm of the reference's time over the own one: the median over pairs.

    A pair's slices ran within a second, so that the machine's speed cancels in their ratio. A slow spell that hits
    one of the two makes an outlier of the pair, which the median bears (decision 11).
    """
    return median(math.log(mean(theirs) / mean(own)) for own, theirs in pairs)


def ratios_by_round(recipe: Sequence[Process], baseline: Sequence[Process]) -> dict[int, float]:
    """For each round that has both: the logarithm of baseline time over recipe time.

    The baseline's time is the mean over its processes of the round. Where the recipe has pairs, the reference process
    carries the comparison and counts as one process of the baseline: by itself it may be quicker or slower than the
    others, for all recipes of the round alike.
    """
    of_round = {number: mean(logs) for number, logs in by_round(baseline).items()}
    correction = _reference_correction(baseline)
    found: dict[int, list[float]] = defaultdict(list)
    for one in recipe:
        if one.log_ratio is not None:
            found[one.round].append(one.log_ratio - correction.get(one.round, 0.0))
        elif one.round in of_round:
            found[one.round].append(of_round[one.round] - math.log(one.mean_ms))
    return {number: mean(ratios) for number, ratios in found.items()}


def log_ratios(recipe: Sequence[Process], baseline: Sequence[Process]) -> list[float]:
    """The values of `ratios_by_round`, in the order of the recipe's rounds."""
    return list(ratios_by_round(recipe, baseline).values())


def _reference_correction(baseline: Sequence[Process]) -> dict[int, float]:
    """By round, the logarithm of the reference process's time over the mean of the baseline's, itself among them."""
    known: dict[int, list[float]] = {}
    for one in baseline:
        if one.log_ratio is not None:
            known.setdefault(one.round, [0.0]).append(one.log_ratio)
    return {number: mean(ratios) for number, ratios in known.items()}


def by_round(processes: Sequence[Process]) -> dict[int, list[float]]:
    """The logarithms of the times in ms of each round's processes."""
    found: dict[int, list[float]] = defaultdict(list)
    for one in processes:
        found[one.round].append(math.log(one.mean_ms))
    return found


def geometric_mean(logs: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of logarithms with Student's interval, taken back from the logarithm.

    Args:
        logs: at least one independent observation, such as one log-ratio a round; two for an interval.
        confidence: of the interval, 0..1.

    """
    centre = mean(logs)
    if len(logs) < 2:
        return Estimate(ratio_of(centre))
    half = student_factor(len(logs), confidence) * deviation(logs)
    return Estimate(ratio_of(centre), ratio_of(centre - half), ratio_of(centre + half))


def deviation(logs: Sequence[float]) -> float:
    """The standard deviation of at least two values, from the mean of these."""
    centre = mean(logs)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in logs) / (len(logs) - 1))


def student_factor(count: int, confidence: float = CONFIDENCE) -> float:
    """Standard deviations of single values in half an interval of the mean of so many."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.5 + confidence / 2)) / math.sqrt(count)


def rounds_needed(half_width: float, rounds: int, target: float, most: int = 100) -> int | None:
    """How many rounds would make an interval as narrow as the target, if rounds go on to scatter as they do.

    Args:
        half_width: of the interval over `rounds` rounds, as a share of the estimate.
        rounds: that it is over, at least two.
        target: the half width that is wanted, as a share.
        most: rounds beyond which nobody would go.

    """
    scatter = math.log1p(half_width) / student_factor(rounds)
    wanted = math.log1p(target)
    return next((n for n in range(rounds, most + 1) if student_factor(n) * scatter <= wanted), None)


def ratio_of(logarithm: float) -> float:
    """The ratio with this logarithm, far beyond every real one at most: of two odd rounds an interval is huge."""
    return math.exp(max(-MOST_LOGARITHM, min(MOST_LOGARITHM, logarithm)))


def speedup(recipe: Sequence[Process], baseline: Sequence[Process]) -> Estimate | None:
    """The ratio of throughputs over the rounds that have both; None where no round has."""
    ratios = log_ratios(recipe, baseline)
    return geometric_mean(ratios) if ratios else None


def throughput(processes: Sequence[Process], batch_size: int) -> Estimate:
    """Images a second of one synchronous stream, over at least one process; processes of one round count as one.

    They ran close to one another, so that the machine's state is the same for them.
    """
    logs = [math.log(1000 * batch_size) - mean(each) for each in by_round(processes).values()]
    return geometric_mean(logs)


def verdict(speedup: Estimate) -> Verdict | None:
    """In words: `same` within ±3 %, else `faster` or `slower` if 1 is outside."""
    if speedup.low is None or speedup.high is None:
        return None
    if speedup.low >= 1 - CLEAR and speedup.high <= 1 + CLEAR:
        return "same"
    if speedup.low > 1:
        return "faster"
    return "slower" if speedup.high < 1 else "unclear"
