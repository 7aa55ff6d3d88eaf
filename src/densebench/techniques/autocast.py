"""Automatic mixed precision: FP32 weights, with convolutions and matrix products computed in 16 bits.

Each operation runs in the precision that PyTorch's autocast lists say is safe for it; FP16 on CUDA, BF16 on
CPU. Weights are cast anew at each call, which costs time that a model cast once does not spend.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from densebench.machine.facts import emulated
from densebench.techniques.base import Technique

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def autocast(model: nn.Module, workload: Workload | None = None) -> nn.Module:  # noqa: ARG001
    """Run the model under autocast: FP16 on CUDA, BF16 elsewhere."""
    from densebench.model.adapter import served

    on_cuda = next(model.parameters()).device.type == "cuda"
    return served(model, autocast="float16" if on_cuda else "bfloat16")


AUTOCAST = Technique(
    "amp",
    "automatic mixed precision: FP16 on CUDA, BF16 on CPU",
    autocast,
    changes="precision",
    aliases=("fp16", "mixed_precision"),
    precision=lambda device: "float16" if device == "cuda" else "bfloat16",
    gives=frozenset({"autocast"}),
    tolerance=3e-2,
    least_sqnr_db=35.0,
    slow=partial(emulated, "bfloat16"),
)
