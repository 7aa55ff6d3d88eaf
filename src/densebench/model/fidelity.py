"""How far outputs are from those of a reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def relative_difference(outputs: Tensor, reference: Tensor) -> float:
    """|outputs - reference| / |reference|, Euclidean, over all elements; infinite if any output isn't finite."""
    import torch

    outputs, reference = outputs.double().cpu(), reference.double().cpu()
    if outputs.shape != reference.shape or not torch.isfinite(outputs).all():
        return math.inf
    return float(
        torch.linalg.vector_norm(outputs - reference) / torch.linalg.vector_norm(reference).clamp_min(1e-30)
    )


def sqnr_db(outputs: Tensor, reference: Tensor) -> float | None:
    """Signal to quantization noise ratio in decibels: 20 log10(|reference| / |outputs - reference|).

    None where the outputs are equal to the last bit (the ratio is infinite) or not finite (there is none).
    """
    difference = relative_difference(outputs, reference)
    return -20 * math.log10(difference) if 0 < difference < math.inf else None


def probe_images(shape: tuple[int, int, int], seed: int, batch_size: int) -> Tensor:
    """The images that an artifact is checked with: standard normal noise of this seed, (n, c, h, w), on the CPU."""
    import torch

    return torch.randn(batch_size, *shape, generator=torch.Generator().manual_seed(seed))
