"""What an exported program multiplies: its convolutions and linear layers, their weights, and how much is INT8.

A compiler folds and packs weights, so that they can't be looked at in what it makes: they are here, in the program
that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "convolution"}
LAYERS = {*CONVOLUTIONS, "linear"}
PRODUCTS = {"matmul", "bmm", "scaled_dot_product_attention"}  # of two computed tensors
_BEFORE = {"to", "_to_copy", "dequantize_per_channel", "dequantize_per_tensor"}  # from a weight to its layer


@dataclass(frozen=True)
class Layer:
    """A convolution, a linear layer or a product; `weight` is a tensor of the program, None where it is computed."""

    operator: str
    weight: Tensor | None
    node: Node


def layers(program: ExportedProgram) -> list[Layer]:
    """Those of the whole program."""
    tensors = {**program.state_dict, **program.constants}
    held = {one.arg.name: tensors.get(one.target) for one in program.graph_signature.input_specs}
    inputs = program.graph.find_nodes(op="placeholder")
    return list(_layers(program.graph_module, [held.get(node.name) for node in inputs]))


def _layers(module: GraphModule, inputs: Sequence[Tensor | None]) -> Iterator[Layer]:
    """Those of one graph, given what its inputs hold; what runs under autocast is a graph in it."""
    from torch import fx

    graph = module.graph
    held: dict[object, Tensor | None] = dict(zip(graph.find_nodes(op="placeholder"), inputs, strict=True))
    for node in graph.nodes:
        operator: str = getattr(node.target, "__name__", "").partition(".")[0]
        if operator in _BEFORE:
            held[node] = held.get(node.args[0])
        elif operator in LAYERS or operator in PRODUCTS:
            yield Layer(operator, held.get(node.args[1]), node)
        elif operator.startswith("wrap_with_"):  # settings, the graph under them, and its inputs
            place, within = next(
                (place, one)
                for place, one in enumerate(node.args)
                if isinstance(one, fx.Node) and one.op == "get_attr"
            )
            inner = getattr(module, str(within.target))
            yield from _layers(inner, [held.get(one) for one in node.args[place + 1 :]])


def weights(found: Sequence[Layer]) -> list[list[int]]:
    """Of each layer [output channels, weights that are zero, all its weights], as JSON keeps it.

    Rounding makes zeros of its own: those of quantized weights don't count.
    """
    import torch

    plain = [one.weight for one in found if one.weight is not None and type(one.weight.data) is torch.Tensor]
    return [[len(w), int((w == 0).sum()) if w.is_floating_point() else 0, w.numel()] for w in plain]


def quantized(found: Sequence[Layer]) -> dict[str, float]:
    """How many layers have INT8 weights, and their share of the multiplications; empty where a weight is computed."""
    import torch

    if any(one.weight is None for one in found if one.operator in LAYERS):
        return {}
    done = [one for one in found if one.weight is not None and one.weight.dtype == torch.int8]
    convolutions = sum(one.operator in CONVOLUTIONS for one in done)
    return {
        "convolutions": convolutions,
        "linears": len(done) - convolutions,
        "macs_share": sum(map(macs, done)) / max(sum(map(macs, found)), 1),
    }


def macs(layer: Layer) -> int:
    """Multiply-accumulates of a layer for the example that was exported; 0 where its weight is computed."""
    from torch import fx
    from torch.fx.experimental.symbolic_shapes import optimization_hint

    outputs = int(optimization_hint(layer.node.meta["val"].numel()))
    if layer.operator in PRODUCTS:
        first, second = (one.meta["val"] for one in layer.node.args[:2] if isinstance(one, fx.Node))
        if layer.operator != "scaled_dot_product_attention":
            return outputs * int(first.shape[-1])
        return (int(optimization_hint(first.numel())) + outputs) * int(
            second.shape[-2]
        )  # queries times keys first
    return 0 if layer.weight is None else outputs * math.prod(layer.weight.shape[1:])
