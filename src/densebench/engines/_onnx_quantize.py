"""Static INT8 for ONNX files: quantize and dequantize nodes around what runs in INT8, ranges from real images.

DenseNet sets three traps. Batch norms before the activation can't be folded into a convolution, so each would
be a trip to FP32 and back: they are written as depthwise 1x1 convolutions, as ONNX Runtime's own optimizer does
with them in FP32 (DenseNet-121, 224x224, batch 8, one thread: 271 ms of CPU time, against 504 with FP32 between
the convolutions and 696 all in FP32). Concatenations join tensors of different scales: they are quantized as
well, and the runtime rescales while it joins (one scale for all saved about 5 % of the time and cost 0.9 dB). And
files of QLinear operators have failed to load: the QDQ format leaves the kernels to the runtime.
Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018.
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines._onnx_ranges import METHOD, PERCENTILE, ranges
from densebench.machine.facts import INT8_FLAGS, cpu_flags

if TYPE_CHECKING:
    import onnx

    from densebench.workloads.base import ImageSet

# What stays in INT8 between convolutions: what only moves, compares or sums values
OPERATORS = [
    *("Conv", "Gemm", "MatMul", "Relu", "Clip", "Add", "Concat"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose"),
]
LINEAR = ["Gemm", "MatMul"]  # the last one's outputs are the logits: 256 steps would make classes tie


def quantize(
    source: Path,
    result: Path,
    images: ImageSet,
    *,
    symmetric: bool = False,
    method: str = METHOD,
    percentile: float = PERCENTILE,
) -> None:
    """Write the INT8 form of an FP32 ONNX file, with quantize and dequantize nodes (QDQ).

    Weights are symmetric INT8 with a scale for each output channel, activations 8 bits with a scale for each
    tensor. x86 processors without VNNI add pairs of products in 16 bits: there, weights keep to 7 bits.

    Args:
        source: from `write_graph`.
        result: the file to write.
        images: of `wanted_images`, all of which are run.
        symmetric: signed activations around zero and FP32 biases, as TensorRT wants them; else unsigned ones
            with a zero point, into which an activation function before them vanishes.
        method: how ranges of activations are found, as `ranges` says.
        percentile: for the method of this name.

    """
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType, quant_pre_process

    # 0 where any is taken
    fixed_batch = (
        onnx.load(source, load_external_data=False).graph.input[0].type.tensor_type.shape.dim[0].dim_value
    )
    forms = (
        {"ActivationSymmetric": True, "QuantizeBias": False, "DedicatedQDQPair": True} if symmetric else {}
    )
    with tempfile.TemporaryDirectory(prefix="densebench-onnx-") as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        if not symmetric:
            model = onnx.load(prepared)
            batch_norms_as_convolutions(model)
            onnx.save(model, prepared)
        found = ranges(
            prepared, images, OPERATORS, method=method, percentile=percentile, batch_size=fixed_batch
        )
        quantizer = QDQQuantizer(
            onnx.load(prepared),
            per_channel=True,
            reduce_range=_pairs_saturate() and not symmetric,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            tensors_range=found,
            nodes_to_quantize=[],
            nodes_to_exclude=[],
            op_types_to_quantize=OPERATORS,
            extra_options={
                "OpTypesToExcludeOutputQuantization": LINEAR,
                "MatMulConstBOnly": True,
                **forms,
            },
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(result)


def batch_norms_as_convolutions(model: onnx.ModelProto) -> None:
    """Replace each batch norm over images by the depthwise 1x1 convolution that computes the same."""
    import numpy as np
    from onnx import helper, numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    replaced: set[str] = set()
    for node in model.graph.node:
        if node.op_type != "BatchNormalization" or ranks.get(node.input[0]) != 4:
            continue
        gamma, beta, mean, variance = (
            numpy_helper.to_array(weights[name]).astype(np.float64) for name in node.input[1:]
        )
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + epsilon)
        kernel = numpy_helper.from_array(
            factor.reshape(-1, 1, 1, 1).astype(np.float32), f"{node.output[0]}.weight"
        )
        bias = numpy_helper.from_array((beta - mean * factor).astype(np.float32), f"{node.output[0]}.bias")
        model.graph.initializer.extend([kernel, bias])
        replaced.update(node.input[1:])
        inputs = [node.input[0], kernel.name, bias.name]
        node.CopyFrom(
            helper.make_node(
                "Conv", inputs, node.output, name=node.name, kernel_shape=[1, 1], group=len(factor)
            )
        )
    used = {name for node in model.graph.node for name in node.input}
    for name in replaced - used:
        model.graph.initializer.remove(weights[name])


def _pairs_saturate() -> bool:
    """Whether this processor's INT8 products may overflow 16 bits; one that doesn't tell is taken to be safe."""
    return platform.machine() in {"x86_64", "AMD64"} and bool(cpu_flags()) and not cpu_flags() & INT8_FLAGS
