"""Samples to estimates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench import stats

SAMPLES = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=400)


@pytest.mark.parametrize(("percent", "needed"), [(50, 5), (90, 29), (95, 59), (99, 299)])
def test_percentile_gates(percent: float, needed: int) -> None:
    """A percentile is blank until the sample is large enough for it, and there from then on."""
    assert stats.samples_needed(percent) == needed
    assert stats.percentile([1.0] * (needed - 1), percent) is None
    assert stats.percentile([1.0] * needed, percent) == 1.0


@given(SAMPLES)
def test_percentile_is_numpys(samples: list[float]) -> None:
    """Where it is printed, a percentile is that of numpy."""
    for percent in (50, 90, 95, 99):
        found = stats.percentile(samples, percent)
        assert found is None or found == pytest.approx(np.percentile(samples, percent))


@given(SAMPLES, st.integers(1, 512))
def test_throughput_is_images_over_time(samples: list[float], batch_size: int) -> None:
    """All images over all the time they took, in images a second."""
    assert stats.throughput(samples, batch_size) == pytest.approx(batch_size / (np.mean(samples) / 1000))


@given(SAMPLES, SAMPLES)
def test_speedup_is_the_ratio_of_throughputs(samples: list[float], baseline: list[float]) -> None:
    """A speed-up is the ratio of two throughputs, and its inverse with the sides exchanged."""
    ratio = stats.speedup(samples, baseline)
    assert ratio == pytest.approx(stats.throughput(samples, 4) / stats.throughput(baseline, 4))
    assert ratio * stats.speedup(baseline, samples) == pytest.approx(1)


@given(SAMPLES)
def test_speedup_against_itself_is_one(samples: list[float]) -> None:
    """A sample against itself is neither faster nor slower."""
    assert stats.speedup(samples, samples) == 1.0
