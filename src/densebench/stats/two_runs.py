"""Two runs that had no round in common: the ratio between them, and which of many ratios may be called too low.

Rounds are independent between the runs and within each, and the runs need not scatter alike, so the difference of
their mean logarithms has Welch's interval (Welch, Biometrika 34, 1947), one value a round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import variance

from densebench.stats.samples import mean
from densebench.stats.speedup import Estimate, Process, by_round, ratio_of


@dataclass(frozen=True)
class Difference:
    """A logarithm of a ratio, with its standard error and degrees of freedom where both runs have replicates."""

    value: float
    error: float | None = None
    freedom: float = math.inf

    def ratio(self, confidence: float) -> Estimate:
        """The ratio with its two-sided interval; without one where there are no replicates."""
        from scipy.special import stdtrit

        if self.error is None:
            return Estimate(ratio_of(self.value))
        half = float(stdtrit(self.freedom, 0.5 + confidence / 2)) * self.error
        return Estimate(ratio_of(self.value), ratio_of(self.value - half), ratio_of(self.value + half))

    def p_not_below(self, bound: float) -> float:
        """How likely a ratio at least this low is where the true one is `bound`: one-sided, 1 without replicates."""
        from scipy.special import stdtr

        if self.error is None:
            return 1.0
        above = self.value - math.log(bound)
        if self.error == 0:
            return 0.0 if above < 0 else 1.0
        return float(stdtr(self.freedom, above / self.error))


def round_logs(processes: Sequence[Process]) -> list[float]:
    """The mean logarithm of the speed, in batches a ms, of each round."""
    return [-mean(logs) for logs in by_round(processes).values()]


def difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """B's mean logarithm over A's, with Welch's error and degrees of freedom (those of Satterthwaite).

    Args:
        a: at least one independent observation, such as one logarithm a round; two of each side for an error.
        b: the same of the other run.

    """
    value = mean(b) - mean(a)
    if min(len(a), len(b)) < 2:
        return Difference(value)
    shares = [variance(side) / len(side) for side in (a, b)]
    whole = math.fsum(shares)
    if whole == 0:
        return Difference(value, 0.0)
    parts = ((share / whole) ** 2 / (len(side) - 1) for share, side in zip(shares, (a, b), strict=True))
    return Difference(value, math.sqrt(whole), 1 / math.fsum(parts))


def rejected(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses fall where any true one may fall with probability `level` at most, however they depend.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979): never weaker than Bonferroni's.
    """
    fallen = [False] * len(p_values)
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(ranked):
        if p_values[place] > level / (len(ranked) - rank):
            break
        fallen[place] = True
    return fallen
