"""Images that are turned, moved and bent a little, so that a network sees no image twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.workloads import digits_data

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def distort(images: Tensor, image_size: int, generator: torch.Generator) -> Tensor:
    """Bend (n, 1, 8, 8) while scaling it to (n, 3, size, size), normalized."""
    larger = bend(images, image_size, generator)
    return ((larger - digits_data.MEAN) / digits_data.STD).expand(-1, 3, -1, -1)


def bend(images: Tensor, image_size: int, generator: torch.Generator) -> Tensor:
    """Turn, zoom, shift each of (n, c, h, w) a little while scaling it to (n, c, size, size).

    To a smaller size it samples single points: scale the images down before.
    """
    import torch
    from torch.nn import functional

    n = len(images)
    turn, zoom, right, down = (torch.rand(4, n, generator=generator) * 2 - 1).unbind()
    angle, factor = turn * 0.17, 1 + zoom * 0.1  # 10 degrees, 10 %
    cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
    shift = torch.stack([right, down], dim=1) * 0.125  # half a pixel of eight
    rows = torch.stack([cos, -sin, sin, cos], dim=1).view(n, 2, 2)
    theta = torch.cat([rows, shift[:, :, None]], dim=2)
    grid = functional.affine_grid(theta, [n, 1, image_size, image_size], align_corners=False)
    grid = grid.to(images.device)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
