"""What the weights in a saved graph say: how many channels are gone, and how many of its numbers are zero."""

from __future__ import annotations

from collections.abc import Sequence

from densebench.engines.base import Details


def describe_weights(weights: Sequence[tuple[int, int, int]], details: Details) -> list[str]:
    """What pruning left, in a few words.

    Args:
        weights: of each convolution and linear layer (output channels, weights that are zero, all its weights).
        details: the artifact's, which hold the layers and channels that the model was constructed with. Where the
            graph has others (attention may be one node), nothing is said of channels.

    """
    from densebench.model.inspection import describe_removed, describe_zeros

    claims = details.get("claims", {})
    whole = claims.get("channels", 0) if claims.get("layers") == len(weights) else 0
    left, zeros, total = (sum(column) for column in zip(*weights, strict=True)) if weights else (0, 0, 0)
    removed = [describe_removed(whole - left, whole)] if left < whole else []
    return [*removed, *describe_zeros(zeros / max(total, 1))]
