"""Small ONNX files of the kinds that users have, made node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, FILTERS, CLASSES = 32, 8, 10
MACS = FILTERS * SIZE * SIZE * 3 * 9 + FILTERS * CLASSES  # of an image with three channels
ANY = ("n", 3, SIZE, SIZE)


def classifier(
    path: Path,
    shape: Sequence[str | int] = ANY,
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    names: tuple[str, str, str] = ("pixels", "features", "scores"),
    beside: str = "",
    more_inputs: Sequence[str] = (),
    weights_as_inputs: bool = False,
    head: str = "",
) -> Path:
    """Write a convolution, an average over the image and a linear layer; no node has a name.

    Args:
        path: the file to write.
        shape: of the input.
        kind: the input's element type.
        opset: of the operators.
        names: of input, convolution's output and output.
        beside: a file beside this one, for the weights.
        more_inputs: names of inputs that nothing uses.
        weights_as_inputs: list the weights among the inputs, as files did before 2019.
        head: one more operator at the end, such as `Softmax`.

    """
    rng = np.random.default_rng(0)
    channels = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 3
    kernel = numpy_helper.from_array(
        rng.standard_normal((FILTERS, channels, 3, 3)).astype(np.float32), "kernel"
    )
    linear = numpy_helper.from_array(rng.standard_normal((CLASSES, FILTERS)).astype(np.float32), "linear")
    given, features, wanted = names
    last = "before" if head else wanted
    nodes = [
        helper.make_node("Conv", [given, "kernel"], [features], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", [features], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["average"]),
        helper.make_node("Flatten", ["average"], ["flat"]),
        helper.make_node("Gemm", ["flat", "linear"], [last], transB=1),
        *([helper.make_node(head, [last], [wanted])] if head else []),
    ]
    inputs = [helper.make_tensor_value_info(given, kind, shape)]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1,)) for name in more_inputs]
    if weights_as_inputs:
        inputs += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in (kernel, linear)]
    outputs = [helper.make_tensor_value_info(wanted, TensorProto.FLOAT, (shape[0], CLASSES))]
    graph = helper.make_graph(nodes, "classifier", inputs, outputs, [kernel, linear])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if beside:
        onnx.save(model, path, save_as_external_data=True, location=beside, size_threshold=0)
    else:
        onnx.save(model, path)
    return path


def with_outputs(path: Path, *names: str) -> Path:
    """The file again, with these of its values as outputs."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    for output in model.graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, path)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """The file again, without its end."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
