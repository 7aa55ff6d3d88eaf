"""What is said of lost accuracy where the images are known one by one."""

from __future__ import annotations

import re

from densebench.report.quality import accuracy, large_loss
from densebench.report.sweep import Sweep
from densebench.results.record import Row
from densebench.spec import Limits
from tests.factory import rows_of


def answers(lost: int, won: int) -> str:
    """Which of 1,000 images are right, if 990 were before."""
    return "0" * lost + "1" * (990 - lost + won) + "0" * (10 - won)


def rows_with(**changed: tuple[int, int]) -> list[Row]:
    """The baseline and recipes that lose and win so many images."""
    correct = {name: answers(*counts) for name, counts in {"baseline": (0, 0), **changed}.items()}
    top1 = {name: images.count("1") / 10 for name, images in correct.items()}
    speeds = {name: {8: 30.0} for name in correct}
    return rows_of(speeds, correct_top1=correct, accuracy_top1=top1)


def test_more_than_the_limit_is_lost_only_where_that_is_certain() -> None:
    """By the lower bound of what was lost; beyond the limit as measured is not enough."""
    sweep = Sweep(tuple(rows_with(sure=(9, 0), unsure=(8, 2))), Limits(max_accuracy_drop=0.2))
    certain, doubt = (one.sentence for one in accuracy(sweep))
    assert certain == (
        "The baseline's top-1 is 99.00 %. Loses more than 0.2 percentage points: sure (-0.90, to 98.10 %; 9 images "
        "lost and 0 won against the baseline, p = 0.0039, exact McNemar)."
    )
    assert re.fullmatch(
        r"May lose more than 0\.2 percentage points, too few images to tell with 95 % confidence: unsure \(-0\.60, "
        r"up to 1\.\d\d lost; 8 images lost and 2 won against the baseline, p = 0\.11, exact McNemar\)\.",
        doubt,
    )


def test_a_large_loss_has_its_images_beside_it() -> None:
    """How many were lost and won, and how likely that is if nothing was; tiny likelihoods as a bound."""
    (warning,) = large_loss(Sweep(tuple(rows_with(some=(20, 8), all_lost=(20, 0)))))
    assert warning.sentence == (
        "Warning: top-1 falls by more than 1 percentage point with some (-1.20, to 97.80 %; 20 images lost and 8 won "
        "against the baseline, p = 0.036, exact McNemar) and all_lost (-2.00, to 97.00 %; 20 images lost and 0 won "
        "against the baseline, p < 0.001, exact McNemar)."
    )
