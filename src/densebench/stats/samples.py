"""Latencies of single batches to means and percentiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95


def mean(samples: Sequence[float]) -> float:
    """The arithmetic mean, which is what throughput follows from."""
    return float(np.mean(samples))


def samples_needed(percent: float, confidence: float = CONFIDENCE) -> int:
    """How many samples a percentile needs before it may be printed.

    The largest of n independent samples lies above the p-quantile with probability 1 - p^n. Below the n where
    that reaches `confidence`, no order statistic bounds the percentile from above, so the sample says nothing
    about it (distribution-free tolerance bounds: Hahn & Meeker, Statistical Intervals, 5.3). That is 5 for the
    median, 29 for p90, 59 for p95 and 299 for p99.
    """
    return math.ceil(math.log(1 - confidence) / math.log(percent / 100))


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """The percentile by linear interpolation, or None where the sample is too small for it."""
    if len(samples) < samples_needed(percent):
        return None
    return float(np.percentile(samples, percent))
