"""What an ONNX graph holds and multiplies: parameters, zeros, multiply-accumulates (MACs)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

CONVOLUTIONS = {"Conv", "QLinearConv", "ConvInteger"}
PRODUCTS = {"Gemm", "MatMul", "QLinearMatMul", "MatMulInteger"}


@dataclass(frozen=True)
class Counts:
    """Of a whole graph; MACs and activations are of one image, zeros of what has two dimensions or more."""

    parameters: int
    macs: int
    activations: int  # elements that convolutions and products of matrices read and write
    zero_fraction: float


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The graph's constants: its initializers, and what exporters put into `Constant` nodes instead."""
    yield from model.graph.initializer
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.name == "value")


def count(model: onnx.ModelProto, name: str, shape: tuple[int, int, int, int]) -> Counts:
    """Count on a graph whose weights are loaded; integers of 32 bits and more are shapes, no parameters.

    Args:
        model: left as it is.
        name: of the input.
        shape: that the input has, (n, c, h, w); multiplications are counted where shapes follow from it.

    """
    import numpy as np
    from onnx import numpy_helper

    parameters = elements = zeros = 0
    for tensor in tensors(model):
        values = numpy_helper.to_array(tensor)
        if values.dtype in (np.int32, np.int64, np.bool_):
            continue
        parameters += values.size
        if values.ndim > 1:
            elements += values.size
            zeros += int(values.size - np.count_nonzero(values))
    shapes = _shapes(model, name, shape)
    working = [node for node in model.graph.node if node.op_type in CONVOLUTIONS | PRODUCTS]
    macs = sum(_macs(node, shapes) for node in working) // shape[0]
    moved = sum(
        math.prod(shapes.get(name, (0,))) for node in working for name in (node.input[0], node.output[0])
    )
    return Counts(parameters, macs, moved // shape[0], zeros / max(elements, 1))


def _shapes(model: onnx.ModelProto, name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The shape of every value that it is known of."""
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.value_info[:]  # they may speak of other sizes
    kept = [value for value in graph.input if value.name != name]
    del graph.input[:]
    graph.input.extend([helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape), *kept])
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(copy, data_prop=True).graph
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.name not in known:
            dims = value.type.tensor_type.shape.dim
            known[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else 0 for dim in dims)
    return known


def _macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Of one node, for the whole batch; 0 where a shape isn't known."""
    # operators of QLinear kind take scale and zero point after each tensor
    weight = shapes.get(node.input[3 if node.op_type.startswith("Q") else 1], ())
    if not weight or node.output[0] not in shapes:
        return 0
    outputs = math.prod(shapes[node.output[0]])
    if node.op_type in CONVOLUTIONS:
        return outputs * math.prod(weight[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return outputs * (weight[-1] if transposed else weight[-2] if len(weight) > 1 else weight[0])
