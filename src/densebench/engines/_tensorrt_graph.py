"""The ONNX graph that a plan is built from. Networks are strongly typed: the types in it decide every precision.

FP16 is the FP32 graph cast to FP16 between its input and its output. INT8 has quantize and dequantize nodes
around convolutions and linear layers, and FP16 between them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines._calibration import wanted_images
from densebench.engines._onnx_file import PER_CHANNEL, check_quantizable, write_graph
from densebench.engines._onnx_quantize import quantize
from densebench.engines._onnx_ranges import MOST
from densebench.workloads.base import OnnxFile

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from densebench.workloads.base import Workload

HALF_SCALES = 19  # the first opset whose QuantizeLinear takes FP16


@dataclass(frozen=True)
class Graph:
    """A serialized ONNX model, and the operator of each of its nodes by the node's name."""

    content: bytes
    operators: dict[str, str]


def graph_of(
    model: nn.Module | OnnxFile, workload: Workload, batch_sizes: tuple[int, ...], precision: str
) -> Graph:
    """Bring the model's graph into `precision` ("fp32", "fp16" or "int8"), FP32 images in and FP32 logits out.

    Raises:
        Unavailable: INT8 without calibration images, or of a file that can't be quantized.
        UsageError: INT8 with too few of them.

    """
    import onnx

    from densebench.model.adapter import served

    if precision == "int8":
        check_quantizable(model, PER_CHANNEL)
    images = wanted_images(workload.data, MOST, MOST) if precision == "int8" else None
    with tempfile.TemporaryDirectory(prefix="densebench-plan-") as scratch:
        path = Path(scratch) / "model.onnx"
        # which layout is fastest is the builder's choice, layer by layer
        plain = model if isinstance(model, OnnxFile) else served(model, channels_last=False)
        write_graph(plain, workload.input_shape, path, batch_sizes=batch_sizes)
        if images is not None:
            exported = path.rename(path.with_stem("exported"))
            quantize(exported, path, images, symmetric=True)
        graph = onnx.load(path)
    if precision != "fp32":
        graph = halved(graph)
    return Graph(graph.SerializeToString(), {node.name: node.op_type for node in graph.graph.node})


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with FP16 in place of FP32 everywhere but at its input and output, the scales of INT8 included."""
    import onnx
    import onnx_ir
    from onnx_ir.passes.common import TopologicalSortPass
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for opset in model.opset_import:
        if opset.domain in {"", "ai.onnx"}:  # what operators of a CNN gained on the way is optional
            opset.version = max(opset.version, HALF_SCALES)
    half = onnx_ir.from_proto(convert_float_to_float16(model, keep_io_types=True))
    TopologicalSortPass()(half)  # the casts at the input and output were appended at the end
    proto: onnx.ModelProto = onnx_ir.to_proto(half)
    onnx.checker.check_model(proto, full_check=True)
    return proto
