"""Static INT8 for Inductor: quantizers around convolutions and what lies between them, ranges from real images.

The method is PyTorch 2 Export quantization with Intel's X86InductorQuantizer, from torchao: activations as UINT8
with one scale a tensor, weights as INT8 with one scale an output channel. Source: PyTorch, "PyTorch 2 Export
Quantization with X86 Backend through Inductor".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from densebench.engines._calibration import LEAST
from densebench.machine.facts import INT8_FLAGS, cpu_flags

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from densebench.workloads.base import ImageSet

BATCH = 32  # images that are calibrated on at a time


def quantized(model: nn.Module, images: ImageSet) -> GraphModule:
    """The FP32 model as a graph, for any batch size, that quantizes what can run in INT8."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    config = get_default_x86_inductor_quantization_config(reduce_range=not cpu_flags() & INT8_FLAGS)
    example = (images.read(range(LEAST)),)
    program = torch.export.export(model, example, dynamic_shapes=({0: torch.export.Dim("batch")},))
    graph = program.module()
    _tell_calls_apart(graph)
    observed = prepare_pt2e(graph, X86InductorQuantizer().set_global(config))
    for batch, _ in images.batches(BATCH):
        observed(batch)
    return convert_pt2e(observed)  # type: ignore[no-any-return]


def _tell_calls_apart(graph: GraphModule) -> None:
    """Give each call of a module a name of its own.

    The quantizer takes all operators of one module's name for one call, and refuses those that have two results: a
    block of ResNet calls its ReLU twice.
    """
    calls: Counter[tuple[str, object]] = Counter()
    for node in graph.graph.nodes:
        if node.op != "call_function" or not node.meta.get("nn_module_stack"):
            continue
        (*outer, (key, (name, kind))) = node.meta["nn_module_stack"].items()
        if call := calls[name, node.target]:
            node.meta["nn_module_stack"] = dict([*outer, (key, (f"{name}@{call}", kind))])
        calls[name, node.target] += 1
