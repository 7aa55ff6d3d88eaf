"""NHWC memory format: the channels of a pixel lie side by side, as convolution kernels read them.

Source: PyTorch, "Channels Last Memory Format in PyTorch" tutorial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.techniques.base import Technique

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def channels_last(model: nn.Module, workload: Workload | None = None) -> nn.Module:  # noqa: ARG001
    """Lay out weights and images as NHWC. Values don't change; the order of summation may."""
    import torch

    from densebench.model.adapter import served

    changed = served(model, channels_last=True)
    changed.core.to(memory_format=torch.channels_last)
    return changed


TECHNIQUE = Technique(
    "channels_last", "NHWC memory format", channels_last, changes="layout", gives=frozenset({"nhwc"})
)
