"""Blocks of latencies, one from each fresh process, to throughput, speed-up, their intervals and a verdict.

Latencies of one process agree with each other far better than with those of the next process, so processes are what
is replicated. They come in rounds: each round holds one block of every recipe and some of the baseline, in random
order. A round gives one logarithm of the speed-up, in which whatever slowed the whole round cancels, and the interval
is Student's over rounds. For this balanced design that is what a mixed model with random rounds and processes gives
(Searle, Casella & McCulloch, Variance Components, 4), without assuming that all recipes scatter alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Literal

from densebench.stats.samples import CONFIDENCE, mean

Verdict = Literal["faster", "slower", "same", "unclear"]
Turns = Sequence[tuple[int, int]]  # calls of the one process and of the other in each turn

CLEAR = 0.03  # speed-ups within 1 ± this are no difference
LEAST_ROUNDS = 3
LOOK_FROM = 5  # rounds before the first look at an interval's width
# Stopping at the first interval that is narrow enough favours intervals that came out too narrow. At 97 % each, those
# that are stopped at hold the truth 95 times in 100 (simulated in the tests, for normal and heavy-tailed rounds).
CONFIDENCE_LOOKED = 0.97
# Turns farther than this from the middle one are far off, in standard deviations that such turns don't blow up. Where
# noise is normal it costs a seventh more turns, and rejects one side as often as the other.
FAR = 3.0
MAD_TO_SD = 1.4826  # of normal values, the standard deviation over the median absolute one
EFFECT_SHARE = 0.1  # an interval that is this share of the effect is narrow enough, whatever the target


@dataclass(frozen=True)
class Block:
    """What one process measured: its round, and the mean time of one batch in ms.

    Where a process of the baseline took turns with it, the logarithm of its time over this one's too.
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


def log_ratio(own_ms: Sequence[float], theirs_ms: Sequence[float], turns: Turns = ()) -> float:
    """The logarithm of the others' time over the own one: the mean of the turns', but of those that are far off.

    On a shared machine a slow spell hits the one of two blocks and not the other, now this one and now that, in a
    minority of turns, by far more than the others scatter (decision 9).

    Args:
        own_ms: latencies of single calls, turn after turn.
        theirs_ms: those of the process that took turns with it.
        turns: how many calls of both each turn has; without, all are of one.

    """
    return mean(near([math.log(theirs / own) for own, theirs in turn_means(own_ms, theirs_ms, turns)]))


def log_ratio_of_means(own_ms: Sequence[float], theirs_ms: Sequence[float], turns: Turns = ()) -> float:
    """The same of mean times over all turns: of throughputs, slow spells and stalls among them."""
    means = turn_means(own_ms, theirs_ms, turns)
    return math.log(math.fsum(theirs for _, theirs in means) / math.fsum(own for own, _ in means))


def turn_means(
    own_ms: Sequence[float], theirs_ms: Sequence[float], turns: Turns = ()
) -> list[tuple[float, float]]:
    """The mean time of both in each turn, in ms.

    A turn lasts so many seconds: a quick model has fewer calls in it while the machine is slow, one that is slower
    than a turn has one in each. Means over all calls would weigh the moments differently, in favour of the quick one.
    """
    own, theirs = iter(own_ms), iter(theirs_ms)
    each = turns or [(len(own_ms), len(theirs_ms))]
    return [(mean(list(islice(own, mine))), mean(list(islice(theirs, other)))) for mine, other in each]


def blocks(
    samples_ms: Sequence[Sequence[float]],
    rounds: Sequence[int],
    beside_ms: Sequence[Sequence[float]] = (),
    turns: Sequence[Turns] = (),
    ratio: Callable[..., float] = log_ratio,
) -> list[Block]:
    """One block for each process; those beside which the baseline's took turns have their ratio from these."""
    count = len(samples_ms)
    four = zip(samples_ms, rounds, beside_ms or [()] * count, turns or [()] * count, strict=True)
    return [
        Block(number, mean(own), ratio(own, theirs, each) if theirs else None)
        for own, number, theirs, each in four
    ]


def near(values: Sequence[float]) -> list[float]:
    """Those that are not far off, by the median absolute deviation from the middle one: the Hampel identifier.

    Davies & Gather, The Identification of Multiple Outliers, JASA 88 (1993): it bears outliers up to a half.
    """
    middle = median(values)
    deviation = MAD_TO_SD * median(abs(one - middle) for one in values)
    return [one for one in values if abs(one - middle) <= FAR * deviation]


def log_ratios(recipe: Sequence[Block], baseline: Sequence[Block]) -> list[float]:
    """For each round: the logarithm of baseline time over recipe time.

    The baseline's is that of the processes of its round. Where both took turns with one more process of the baseline,
    that one carries the comparison from one to the other, and is one of those whose mean the baseline's time is: by
    itself it may be quicker or slower than they are, for all recipes of the round alike.
    """
    of_round = {number: mean(logs) for number, logs in by_round(baseline).items()}
    carried = _carried(baseline)
    found: dict[int, list[float]] = defaultdict(list)
    for block in recipe:
        if block.log_ratio is not None:
            found[block.round].append(block.log_ratio - carried.get(block.round, 0.0))
        elif block.round in of_round:
            found[block.round].append(of_round[block.round] - math.log(block.mean_ms))
    return [mean(ratios) for ratios in found.values()]


def _carried(baseline: Sequence[Block]) -> dict[int, float]:
    """How far the one that stood beside is from the mean of the baseline's processes of its round, itself among them.

    The logarithm of its time over theirs.
    """
    known = [(block.round, block.log_ratio) for block in baseline if block.log_ratio is not None]
    rounds = {number for number, _ in known}
    return {each: mean([0.0, *(ratio for number, ratio in known if number == each)]) for each in rounds}


def by_round(processes: Sequence[Block]) -> dict[int, list[float]]:
    """The logarithms of the times in ms of each round's processes."""
    found: dict[int, list[float]] = defaultdict(list)
    for block in processes:
        found[block.round].append(math.log(block.mean_ms))
    return found


def geometric_mean(logs: Sequence[float], confidence: float) -> Estimate:
    """The mean of logarithms with Student's interval, taken back from the logarithm.

    Args:
        logs: at least one independent observation, such as one log-ratio a round; two for an interval.
        confidence: of the interval, 0..1.

    """
    from scipy.special import stdtrit

    count, centre = len(logs), mean(logs)
    if count < 2:
        return Estimate(math.exp(centre))
    deviation = math.sqrt(math.fsum((x - centre) ** 2 for x in logs) / (count - 1))
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * deviation / math.sqrt(count)
    return Estimate(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def speedup(
    recipe: Sequence[Block], baseline: Sequence[Block], confidence: float = CONFIDENCE
) -> Estimate | None:
    """The ratio of throughputs over the rounds that have both; None where no round has."""
    ratios = log_ratios(recipe, baseline)
    return geometric_mean(ratios, confidence) if ratios else None


def throughput(processes: Sequence[Block], batch_size: int, confidence: float = CONFIDENCE) -> Estimate:
    """Images a second of one synchronous stream, over at least one process; processes of one round count as one.

    They ran close to one another, so that the machine's state is the same for them.
    """
    logs = [math.log(1000 * batch_size) - mean(each) for each in by_round(processes).values()]
    return geometric_mean(logs, confidence)


def verdict(speedup: Estimate) -> Verdict | None:
    """In words, by the contract's rule: `same` within ±3 %, else `faster` or `slower` if 1 is outside."""
    if speedup.low is None or speedup.high is None:
        return None
    if speedup.low >= 1 - CLEAR and speedup.high <= 1 + CLEAR:
        return "same"
    if speedup.low > 1:
        return "faster"
    return "slower" if speedup.high < 1 else "unclear"


def excess(speedup: Estimate, target: float) -> float:
    """How many times as wide as is wanted an interval is: by `target`, or by a tenth of the effect itself.

    Only the width decides, and an effect far larger than it, never on which side of 1 the interval lies: that would
    make a verdict likelier the longer one looks.
    """
    half = speedup.half_width
    return math.inf if half is None else half / max(target, EFFECT_SHARE * abs(math.log(speedup.value)))
