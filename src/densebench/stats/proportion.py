"""Accuracy as a share of images that are right: intervals, and two models compared on the same images."""

from __future__ import annotations

import math

from densebench.stats.samples import CONFIDENCE


def share_interval(right: int, images: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Ends of the score interval of a share, 0..1 (Wilson 1927)."""
    from scipy.stats import binomtest

    ends = binomtest(right, images).proportion_ci(confidence, method="wilson")
    return float(ends.low), float(ends.high)


def discordant(before: str, after: str) -> tuple[int, int]:
    """How many images were lost (right before, wrong after) and how many won.

    Args:
        before: one `1` or `0` for each image: right or wrong.
        after: the same images in the same order.

    """
    pairs = list(zip(before, after, strict=True))
    return pairs.count(("1", "0")), pairs.count(("0", "1"))


def no_difference_p(lost: int, won: int) -> float:
    """How likely so uneven a split is if both models are as good: McNemar's test, exact and two-sided."""
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def drop_at_most(lost: int, won: int, images: int, confidence: float = CONFIDENCE) -> float:
    """The upper bound of the share that is lost, one-sided, by the score method for pairs (Tango 1998).

    Unlike the interval of Wald it keeps its confidence with few or no discordant pairs: images that no model
    changed still leave room for some that it would have.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z = float(ndtri(confidence))

    def excess(drop: float) -> float:
        """How far the observed drop lies below `drop` in standard errors, less the z that is allowed."""
        b = -lost - won + (2 * images - lost + won) * drop
        root = max(0.0, b * b + 8 * images * won * drop * (1 - drop))  # 0 where all images were won
        won_share = (math.sqrt(root) - b) / (4 * images)
        variance = images * (2 * won_share + drop * (1 - drop))
        return (images * drop - (lost - won)) - z * math.sqrt(max(variance, 0.0))

    # at no drop and no discordant pairs both sides are zero, which is not the root that is looked for
    least, most = (lost - won) / images + 1e-12, 1.0 - 1e-12
    return 1.0 if excess(most) < 0 else float(brentq(excess, least, most))
