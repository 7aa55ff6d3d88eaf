"""INT8 weights, with activations quantized at run time: no calibration data is needed.

Only linear layers are reached. DenseNet-121 has one, with 0.04 % of its multiplications, so the file and the
speed hardly change; the row's `effect` says so in figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.techniques.base import Technique

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def dynamic_quantization(model: nn.Module, workload: Workload | None = None) -> nn.Module:  # noqa: ARG001
    """Quantize every linear layer's weight to INT8 (symmetric, one scale per output), with torchao."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    from densebench.model.adapter import served

    changed = served(model)
    quantize_(changed.core, Int8DynamicActivationInt8WeightConfig())
    return changed


TECHNIQUE = Technique(
    "dynamic_quantization",
    "INT8 weights of linear layers, activations quantized at run time",
    dynamic_quantization,
    changes="precision",
    gives=frozenset({"tensor_subclass"}),
    tolerance=1e-3,
    least_sqnr_db=35.0,
)
