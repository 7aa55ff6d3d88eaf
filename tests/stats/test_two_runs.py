"""Two runs without common rounds: Welch's interval as SciPy has it, and Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from densebench.stats.speedup import Process
from densebench.stats.two_runs import difference, rejected, round_logs

LOGS = st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=2, max_size=12)


def test_the_interval_is_welchs() -> None:
    """SciPy's Welch test says the same about samples of unequal size and scatter."""
    draw = np.random.default_rng(1)
    a, b = draw.normal(0, 0.1, 5).tolist(), draw.normal(-0.1, 0.3, 9).tolist()
    peer = ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    ratio = difference(a, b).ratio(0.95)
    assert (ratio.low, ratio.high) == pytest.approx((math.exp(peer.low), math.exp(peer.high)))
    shifted = [x - math.log(0.97) for x in b]
    p = ttest_ind(shifted, a, equal_var=False, alternative="less").pvalue
    assert difference(a, b).p_not_below(0.97) == pytest.approx(p)


@settings(max_examples=40, deadline=None)
@given(LOGS, LOGS)
def test_sides_exchanged_give_the_inverse(a: list[float], b: list[float]) -> None:
    """A over B is one over B over A, ends of the interval included."""
    there, back = difference(a, b).ratio(0.95), difference(b, a).ratio(0.95)
    assert there.value == pytest.approx(1 / back.value)
    if there.low is not None and there.high is not None and there.high < 1e200:
        assert there.low == pytest.approx(1 / (back.high or math.inf))


def test_samples_without_scatter_have_an_interval_without_width() -> None:
    """Neither a division by zero nor an invented doubt."""
    one = difference([0.0, 0.0], [math.log(0.9)] * 3)
    assert one.ratio(0.95).low == one.ratio(0.95).high == pytest.approx(0.9)
    assert (one.p_not_below(0.95), one.p_not_below(0.85)) == (0, 1)


def test_one_round_shows_nothing() -> None:
    """Without replicates there is no interval, and nothing is sure."""
    one = difference([0.0], [-1.0, -1.1])
    assert one.ratio(0.95).low is None
    assert one.p_not_below(0.95) == 1


def test_processes_of_one_round_are_one_observation() -> None:
    """They ran close to one another, so they are not independent."""
    blocks = [Process(0, 1.0), Process(0, math.e**2), Process(1, 1.0)]
    assert round_logs(blocks) == pytest.approx([-1.0, 0.0])


def test_holm_steps_down_and_stops() -> None:
    """The example by hand: 0.01 and 0.013 fall at 0.05 / 4 and / 3, 0.03 does not at / 2, so 0.04 stays too."""
    assert rejected([0.04, 0.01, 0.03, 0.013], 0.05) == [False, True, False, True]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_lies_between_bonferroni_and_none(p_values: list[float]) -> None:
    """All that Bonferroni rejects falls, and nothing that would not fall alone."""
    for p, fallen in zip(p_values, rejected(p_values, 0.05), strict=True):
        assert fallen or p > 0.05 / len(p_values)
        assert not fallen or p <= 0.05
