"""No data: seeded noise to time with. Speed does not depend on what an image shows; accuracy does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.workloads.base import Splits

if TYPE_CHECKING:
    from torch import Tensor


def open_no_data(channels: int, image_size: int, seed: int) -> Splits:
    """Nothing to calibrate, validate or train with; timing inputs are standard normal noise.

    The same seed gives the same first images whatever the batch size.
    """

    def timing(batch_size: int) -> Tensor:
        import torch

        generator = torch.Generator().manual_seed(seed)
        # one image at a time: the generator's stream for a larger tensor is another one
        shape = (channels, image_size, image_size)
        return torch.stack([torch.randn(shape, generator=generator) for _ in range(batch_size)])

    return Splits(label="none", calibration=None, validation=None, timing=timing, noise=True)
