"""Accuracy: intervals, and two models on the same images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.stats.proportion import discordant, drop_at_most, no_difference_p, share_interval

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2000))


def test_wilson() -> None:
    """9 right of 10: Wilson's 0.596 to 0.982."""
    low, high = share_interval(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)


def test_discordant_pairs() -> None:
    """Lost is right before and wrong after; won the reverse; what agrees counts for neither."""
    assert discordant("1101", "1010") == (2, 1)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        discordant("11", "1")


def test_mcnemar() -> None:
    """Twelve lost against two won: the exact binomial's 0.0129; nothing to tell from gives 1."""
    assert no_difference_p(12, 2) == pytest.approx(0.0129, abs=1e-4)
    assert no_difference_p(0, 0) == 1.0


def test_no_discordant_pairs_still_leave_room() -> None:
    """Tango's closed form for none lost and none won: z^2 / (n + z^2)."""
    assert drop_at_most(0, 0, 100, 0.975) == pytest.approx(1.96**2 / (100 + 1.96**2), abs=1e-4)


@given(COUNTS)
def test_the_bound_is_above_what_was_seen(counts: tuple[int, int, int]) -> None:
    """Never below the observed drop, never above 1, and larger for more lost."""
    lost, won, agreed = counts
    images = lost + won + agreed + 1
    bound = drop_at_most(lost, won, images)
    assert (lost - won) / images <= bound <= 1
    assert drop_at_most(lost + 1, won, images + 1) >= bound - 2 / images


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Simulated: the true drop is below the bound in about 95 of 100, with rare discordant pairs too."""
    rng = np.random.default_rng(5)
    for lose, win, images in ((0.02, 0.01, 1000), (0.004, 0.004, 500), (0.05, 0.02, 300)):
        drawn = rng.multinomial(images, [lose, win, 1 - lose - win], size=1000)
        held = np.mean([drop_at_most(int(a), int(b), images) >= lose - win for a, b, _ in drawn])
        assert 0.93 <= held <= 1.0


@pytest.mark.parametrize(("lost", "won", "images"), [(0, 0, 1000), (8, 6, 1000), (20, 3, 400), (5, 0, 50)])
def test_the_bound_solves_the_score_equation(lost: int, won: int, images: int) -> None:
    """At the bound the drop lies z = 1.645 standard errors above what was seen, by the restricted estimate."""
    drop = drop_at_most(lost, won, images)
    b = -lost - won + (2 * images - lost + won) * drop
    share = (math.sqrt(b * b + 8 * images * won * drop * (1 - drop)) - b) / (4 * images)
    z = (images * drop - (lost - won)) / math.sqrt(images * (2 * share + drop * (1 - drop)))
    assert z == pytest.approx(1.6449, abs=1e-3)


@given(st.integers(1, 3000))
def test_a_bound_where_every_image_was_lost_or_won(images: int) -> None:
    """The ends of what there is."""
    assert drop_at_most(images, 0, images) == pytest.approx(1.0)
    assert -1 <= drop_at_most(0, images, images) <= drop_at_most(0, images - 1, images) + 1e-9
