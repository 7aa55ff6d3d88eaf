"""How a training goes through its images: stages of batches, each at one image size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch


@dataclass(frozen=True)
class Stage:
    """`steps` batches of `batch_size` images, each batch at one of `sizes` (pixels) in turn.

    `settled` keeps batch normalization at the averages it has gathered. In training it normalizes each batch
    by itself, so each size by its own statistics; at inference there is one set of them for all sizes. A
    settled stage, always the last, teaches the weights to live with that one set, in small steps.
    """

    sizes: tuple[int, ...]
    batch_size: int
    steps: int
    settled: bool = False


def batches(
    stages: Sequence[Stage], positions: Sequence[int], generator: torch.Generator
) -> Iterator[tuple[int, list[int], bool]]:
    """(image size, positions, settled) of each step; every image comes once before any comes again."""
    import torch

    queue: list[int] = []
    for stage in stages:
        for step in range(stage.steps):
            while len(queue) < stage.batch_size:
                queue += [positions[i] for i in torch.randperm(len(positions), generator=generator).tolist()]
            batch, queue = queue[: stage.batch_size], queue[stage.batch_size :]
            yield stage.sizes[step % len(stage.sizes)], batch, stage.settled
