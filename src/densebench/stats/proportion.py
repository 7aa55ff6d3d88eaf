"""Accuracy as a share of images that are right: intervals, and two models compared on the same images."""

from __future__ import annotations

import math

from densebench.stats.samples import CONFIDENCE

MOST_IMAGES = 100_000_000  # a loss that needs more of them to be told from the limit is at the limit


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


def drop_at_most(lost: float, won: float, images: int, confidence: float = CONFIDENCE) -> float:
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


def images_needed(
    lost: int, won: int, images: int, limit: float, confidence: float = CONFIDENCE
) -> int | None:
    """How many images would bound the loss by `limit`, if these shares of lost and won images stay as they are.

    Args:
        lost: images that were right before and are wrong now.
        won: images that were wrong before and are right now.
        images: how many were seen.
        limit: the largest loss that is allowed, as a share of the images.
        confidence: of the bound.

    Returns:
        The number, or None where no number is enough: the observed loss is at the limit, or beyond it.

    """
    if (lost - won) / images >= limit:
        return None

    def bound(count: int) -> float:
        return drop_at_most(lost * count / images, won * count / images, count, confidence)

    low, high = 0, max(images, 1)
    while bound(high) > limit:
        low, high = high, 2 * high
        if high > MOST_IMAGES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bound(middle) <= limit else (middle, high)
    return high
