"""Percentiles, and when there are too few samples for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.stats.samples import percentile, samples_needed

SAMPLES = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=400)


@pytest.mark.parametrize(("percent", "needed"), [(50, 5), (90, 29), (95, 59), (99, 299)])
def test_percentile_gates(percent: float, needed: int) -> None:
    """A percentile is blank until the sample is large enough for it, and there from then on."""
    assert samples_needed(percent) == needed
    assert percentile([1.0] * (needed - 1), percent) is None
    assert percentile([1.0] * needed, percent) == 1.0


@given(SAMPLES)
def test_percentile_is_numpys(samples: list[float]) -> None:
    """Where it is printed, a percentile is that of numpy."""
    for percent in (50, 90, 95, 99):
        found = percentile(samples, percent)
        assert found is None or found == pytest.approx(np.percentile(samples, percent))
