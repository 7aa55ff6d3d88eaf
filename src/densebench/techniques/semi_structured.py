"""2:4 semi-structured sparsity: of every four weights along the input channels, the two of least magnitude are zero.

That is the pattern that NVIDIA's sparse tensor cores skip. PyTorch uses them for linear layers in 16-bit formats
only; convolutions multiply by the zeros all the same. The file holds the weights with their zeros, and a CUDA
process compresses at load those layers that its kernels take.
Source: Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from densebench.schema import Caveat
from densebench.techniques._fine_tuning import Epochs, FineTune, LearningRate, imitate, keep_zeros, typical_s
from densebench.techniques.base import Options, Technique

if TYPE_CHECKING:
    from torch import Tensor, nn

    from densebench.workloads.base import Workload

KEPT, GROUP = 2, 4


def semi_structured(
    model: nn.Module,
    workload: Workload | None = None,
    *,
    fine_tune: bool = False,
    epochs: int = 8,
    learning_rate: float = 1e-3,
    progress: Callable[[str], None] = print,
) -> nn.Module:
    """Set two of every four weights to zero, wherever the inputs of a layer are a multiple of four.

    With `fine_tune` the other weights are then taught, on the workload's training images, to answer as before.
    """
    import torch
    from torch import nn

    from densebench.model.adapter import served

    changed = served(model)
    layers = [
        module
        for module in changed.core.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.shape[1] % GROUP == 0
    ]
    with torch.no_grad():
        for layer in layers:
            layer.weight.masked_fill_(_least(layer.weight), 0.0)
    if fine_tune:
        imitate(
            changed,
            served(model).core,
            workload,
            epochs=epochs,
            learning_rate=learning_rate,
            after_step=keep_zeros(layers),
            progress=progress,
        )
    return changed


def _least(weight: Tensor) -> Tensor:
    """Which of the weights (out, in, ...) are not among the KEPT largest of their GROUP."""
    import torch

    last = weight.movedim(1, -1)
    groups = last.reshape(*last.shape[:-1], -1, GROUP)  # (out, ..., in / 4, 4)
    least = groups.abs().topk(GROUP - KEPT, dim=-1, largest=False).indices
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, least, value=True)
    return mask.flatten(-2).movedim(-1, 1)


def unavailable(device: str) -> str | None:
    """Only NVIDIA's sparse tensor cores gain by it."""
    return None if device == "cuda" else "2:4 sparsity needs a CUDA GPU: no CPU kernel here skips its zeros"


class SemiStructuredOptions(Options):
    """Whether to train afterwards."""

    fine_tune: FineTune = False
    epochs: Epochs = 8
    learning_rate: LearningRate = 1e-3


TECHNIQUE = Technique(
    "semi_structured",
    "2:4 sparsity: two of every four weights are zero",
    semi_structured,
    changes="weights",
    options=SemiStructuredOptions,
    after={"precision": "it compares magnitudes, so it comes before a change of precision"},
    gives=frozenset({"zeros"}),
    typical_s=typical_s,
    least_sqnr_db=0.0,
    devices=("cuda",),
    unavailable=unavailable,
    caveat=Caveat(
        text="PyTorch skips the zeros in linear layers with FP16 or BF16 weights only, on GPUs from Ampere on; "
        "without fine_tune=true most of the accuracy may be lost.",
    ),
)
