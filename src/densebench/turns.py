"""Turns of two processes, the one that is measured and the baseline's, until their ratio is known well enough."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from densebench.beside import Told
from densebench.measure.latency import Budget, Samples
from densebench.stats.comparison import EFFECT_SHARE, near

TURNS = 4  # of each, at least; two at a time, in the order ABBA: what changes steadily cancels too
MOST_TURNS = 48
# A turn's share of a process's sampling. On a shared machine calls go through slow spells of tenths of a second: with
# a twelfth in place of a quarter, ratios scattered half as much for a sixth more time; with less, hardly less.
PART = 1 / 12
LONGEST = 8.0  # times the seconds of sampling, after which no more turns begin: of a slow model four must do
LEAST_CALLS = 1  # timed ones of a turn: several turns tell how much they scatter
# of the turns left out: fewer are a shared machine's noise, of which the share of calls left out tells
WORTH_TELLING = 0.25
SHARE = 0.25  # of a process's time limit that turns may take, the baseline's blocks among them


def turn_limit_s(timeout_s: float) -> float:
    """How long one block of the baseline's may take, of a process that has so many seconds."""
    return SHARE * timeout_s / 2


def part_of(budget: Budget) -> Budget:
    """What one turn may take of a process's sampling."""
    return replace(budget, sample_s=PART * budget.sample_s, least=LEAST_CALLS)


def alternate(
    own: Callable[[], Samples],
    theirs: Callable[[], Told | None],
    precision: float,
    sample_s: float,
    limit_s: float,
) -> tuple[list[Samples], list[Told], str]:
    """Blocks of both, two of each at a time, until they fill the seconds and tell enough; what was left out.

    A turn that something disturbed in either process is left out, as long as four others are left.
    They tell too little while the standard error of their ratio, over turns that are not far off, is above
    `precision` and above a tenth of the effect: a quiet machine needs no more turns than fill the seconds, nor does
    what is eight times faster.
    Where four are to fill them, as calls are long, they tell enough: processes differ by more than is left.

    Args:
        own: one block of the process that is measured.
        theirs: one block of the baseline's; None from when on it doesn't answer: then none of its blocks counts.
        precision: share of the ratio.
        sample_s: seconds of timed calls that each of them is to have, or both twice as many together.
        limit_s: seconds after which no more turns begin.

    """
    ours: list[Samples] = []
    others: list[Told] = []
    end = time.monotonic() + limit_s
    while True:
        for own_first in (False, True):  # the other's answer says how long its calls are
            if own_first:
                ours.append(own())
            told = theirs()
            if told is None:
                return ours, [], ""
            others.append(told)
            if not own_first:
                ours.append(own())
        if len(ours) < TURNS:
            continue
        pairs = list(zip(ours, others, strict=True))
        quiet = [pair for pair in pairs if not (pair[0].disturbance or pair[1].disturbance)]
        usable = len(quiet) >= TURNS
        filled = timed_s(quiet) >= 2 * sample_s
        enough = usable and (long(quiet[0], sample_s) or (filled and not vague(quiet, precision)))
        if enough or len(ours) >= MOST_TURNS or time.monotonic() > end:
            kept = quiet if usable else pairs
            return [one for one, _ in kept], [other for _, other in kept], _left_out(pairs, kept)


def _left_out(pairs: Sequence[tuple[Samples, Told]], kept: Sequence[tuple[Samples, Told]]) -> str:
    """How many turns don't count, and why, where they are more than a few."""
    if len(pairs) - len(kept) <= WORTH_TELLING * len(pairs):
        return ""
    why = next(one.disturbance or other.disturbance for one, other in pairs if (one, other) not in kept)
    return f"{len(pairs) - len(kept)} of {len(pairs)} turns left out: {why}"


def short(ours: Sequence[Samples], sample_s: float) -> bool:
    """Whether one process's turns, without the other's, don't fill the seconds yet."""
    spent_s = sum(sum(one.kept_ms) for one in ours) / 1000
    return len(ours) < TURNS or (spent_s < sample_s and len(ours) < MOST_TURNS)


def timed_s(pairs: Sequence[tuple[Samples, Told]]) -> float:
    """Seconds of timed calls of both."""
    return sum(sum(one.kept_ms) + sum(other.samples_ms) for one, other in pairs) / 1000


def long(pair: tuple[Samples, Told], sample_s: float) -> bool:
    """Whether four turns like this one are to fill the seconds, by the warm-ups: not by how long turns take."""
    own, other = pair
    known = own.warm_ms and other.warm_ms
    turn_ms = len(own.kept_ms) * own.warm_ms + len(other.samples_ms) * other.warm_ms
    return bool(known) and TURNS * turn_ms >= 2000 * sample_s


def vague(pairs: Sequence[tuple[Samples, Told]], precision: float) -> bool:
    """Whether more turns would tell more.

    The effect is what the warm-ups say: stopping where the turns themselves make it large would favour such turns.
    """
    logs = [math.log(fmean(other.samples_ms) / fmean(one.kept_ms)) for one, other in pairs]
    mine_ms, theirs_ms = pairs[0][0].warm_ms, pairs[0][1].warm_ms
    effect = abs(math.log(theirs_ms / mine_ms)) if mine_ms and theirs_ms else 0.0
    counted = near(logs)
    return stdev(counted) / math.sqrt(len(counted)) > max(precision, EFFECT_SHARE * effect)
