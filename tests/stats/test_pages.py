"""What page faults explain of the scatter of processes, beside SciPy's regression, and by simulation."""

from __future__ import annotations

import random

import pytest
from scipy.stats import linregress

from densebench.stats.pages import SURE, explained, varies

ROW = [(35.0, 4000.0), (38.5, 6000.0), (39.0, 8000.0), (43.0, 10000.0), (46.0, 12000.0)]


def test_of_one_row_it_is_a_regression() -> None:
    """SciPy's slope and share."""
    found, line = explained([ROW]), linregress([f for _, f in ROW], [ms for ms, _ in ROW])
    assert found is not None
    assert found.us_a_page == pytest.approx(1000 * line.slope)
    assert found.share == pytest.approx(line.rvalue**2)


def test_rows_may_differ_by_themselves() -> None:
    """A quick recipe that takes fewer pages is no evidence: the line is one within rows."""
    quick = [(ms / 10, faults / 10) for ms, faults in ROW]
    flat = [(10.0, 100.0), (10.1, 101.0), (10.0, 102.0)]
    apart, together = (
        explained([quick, [(ms, faults + 9000) for ms, faults in quick]]),
        explained([quick, quick]),
    )
    assert apart is not None
    assert together is not None
    assert (apart.us_a_page, apart.share) == pytest.approx((together.us_a_page, together.share))
    assert explained([flat, [(1000 + ms, faults + 10000) for ms, faults in reversed(flat)]]) is None


def test_chance_is_rarely_taken_for_a_reason() -> None:
    """Of lines through noise one in two hundred: half of those that are as steep go down. Slow rows don't decide."""
    noise, taken = random.Random(1), 0
    for _ in range(4000):
        rows = [
            [(noise.gauss(1, 0.05) * ms, noise.gauss(1, 0.1) * 200 * ms) for _ in range(5)]
            for ms in (4, 40, 400)
        ]
        taken += explained(rows) is not None
    assert taken / 4000 == pytest.approx(SURE / 2, abs=0.004)


def test_what_has_nothing_to_tell() -> None:
    """No rows, one process each, processes that are alike."""
    assert explained([]) is None
    assert explained([ROW[:1], ROW[1:2]]) is None
    assert explained([[(40.0, 5000.0)] * 5]) is None


def test_which_rows_vary() -> None:
    """By a share of what they take, and not where they hardly take any."""
    assert varies(ROW)
    assert not varies([])
    assert not varies([(ms, 5000 + ms) for ms, _ in ROW])
    assert not varies([(ms, faults / 100) for ms, faults in ROW])
