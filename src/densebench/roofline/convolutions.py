"""A model that is nothing but large convolutions, and a workload of random numbers around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densebench.model.adapter import Served
from densebench.workloads.base import ImageSet, Preprocessing, Splits, Weights, Workload

COLOURS = 3
CALIBRATION = 8  # images; their ranges make no convolution slower or faster


@dataclass(frozen=True)
class Size:
    """Of the convolutions: 3x3, as many channels out as in, of so many pixels in height and width."""

    layers: int
    channels: int
    pixels: int
    batch: int


def convolutions(size: Size, *, channels_last: bool, dtype: str = "float32") -> Served:
    """The convolutions behind the boundary, each with a ReLU; a small one before them widens the image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Conv2d(COLOURS, size.channels, 1), nn.ReLU()]
        for _ in range(size.layers):
            layers += [nn.Conv2d(size.channels, size.channels, 3, padding=1), nn.ReLU()]
        core = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Served(core, dtype, channels_last=channels_last)
    core.to(model.dtype)
    if channels_last:
        core.to(memory_format=torch.channels_last)
    return model.requires_grad_(requires_grad=False).eval()


def random_workload(model: Served, size: Size) -> Workload:
    """The model with random images to calibrate and to time it with."""

    def images(positions: Sequence[int]) -> Tensor:
        generator = torch.Generator().manual_seed(len(positions))
        return torch.randn(len(positions), COLOURS, size.pixels, size.pixels, generator=generator)

    look = Preprocessing(size.pixels, size.pixels, (0.0,) * COLOURS, (1.0,) * COLOURS)
    classes = tuple(str(channel) for channel in range(size.channels))
    calibration = ImageSet((0,) * CALIBRATION, images)
    data = Splits("random", calibration, None, lambda count: images(range(count)))
    weights = Weights("random", model.core.state_dict(), classes, look, "")
    return Workload("convolutions", size.pixels, weights, data, lambda: model)
