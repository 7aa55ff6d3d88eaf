"""One value a round against a bound: how likely so high a mean is by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance


def p_not_above(logs: Sequence[float], bound: float = 0.0) -> float:
    """How likely a mean at least this high is where the true one is `bound`: Student's t, one-sided.

    Args:
        logs: one independent observation a round, such as the logarithm of a speed-up.
        bound: the true mean that is tested against.

    Returns:
        The probability; 1 without replicates.

    """
    from scipy.special import stdtr

    if len(logs) < 2:
        return 1.0
    above = fmean(logs) - bound
    error = math.sqrt(variance(logs) / len(logs))
    if error == 0:
        return 0.0 if above > 0 else 1.0
    return float(stdtr(len(logs) - 1, -above / error))
