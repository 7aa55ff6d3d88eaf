"""A user's ONNX file as the engines want their graphs: known names, one file, weights that are constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densebench.build_cache import once
from densebench.engines._onnx_export import BATCH, INPUT, OUTPUT, export_onnx
from densebench.errors import Unavailable
from densebench.workloads.base import OnnxFile

if TYPE_CHECKING:
    from torch import nn

PER_CHANNEL = 13  # the first opset whose quantization has a scale for each output channel


def write_graph(
    model: nn.Module | OnnxFile,
    input_shape: tuple[int, int, int],
    path: Path,
    *,
    batch_sizes: tuple[int, ...],
    name: str = "",
) -> float:
    """Write the FP32 graph of either kind of model; see `export_onnx` and `save_graph`.

    A model that has a `name` in its sweep is exported once in it; returns the seconds that this spared, if any.
    """
    if isinstance(model, OnnxFile):
        save_graph(model, input_shape, path)
        return 0.0

    def export(path: Path) -> None:
        export_onnx(model, input_shape, path, batch_sizes=batch_sizes)

    if name:
        return once(["onnx", name, input_shape, batch_sizes], path, export)
    export(path)
    return 0.0


def save_graph(file: OnnxFile, input_shape: tuple[int, int, int], path: Path) -> None:
    """Write the file's graph from `images` (batch, c, h, w) to `logits`, its weights in it, as `export_onnx` does.

    The batch is what the file takes: any, or the one that it has. Layers without a name get one.

    Args:
        file: left as it is.
        input_shape: (channels, height, width) of one image.
        path: the file to write.

    """
    import onnx
    import onnx_ir
    from onnx_ir.passes import common

    model = onnx_ir.load(file.path)
    common.LiftConstantsToInitializersPass()(model)
    common.RemoveInitializersFromInputsPass()(model)
    graph = model.graph
    images, logits = graph.inputs[0], graph.outputs[0]
    for value in (*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)):
        if value.name in (INPUT, OUTPUT):  # of something else
            value.name = f"{value.name}_inside"
        value.shape = value.shape if value.is_initializer() else None  # it may be of images of any size
    images.name, logits.name = INPUT, OUTPUT
    batch = file.batch_size or BATCH
    images.shape = onnx_ir.Shape([batch, *input_shape])
    logits.shape = onnx_ir.Shape([batch, file.classes])
    common.NameFixPass()(model)
    common.ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    onnx_ir.external_data.load_to_model(model)
    onnx_ir.save(model, path)
    onnx.checker.check_model(path)


def check_quantizable(model: nn.Module | OnnxFile, least_opset: int = 0) -> None:
    """Say why a user's file can't be made INT8.

    Raises:
        Unavailable: it is INT8 already, takes several images at once and nothing else, or its operators are
            older than `least_opset`.

    """
    if not isinstance(model, OnnxFile):
        return
    name = model.path.name
    if model.quantized:
        raise Unavailable(f"{name} is quantized already: give the FP32 file")
    if model.batch_size not in (None, 1):
        raise Unavailable(
            f"INT8 is calibrated image by image, {name} takes batches of {model.batch_size}: "
            "export it with a dynamic batch"
        )
    if model.opset < least_opset:
        raise Unavailable(f"INT8 needs opset {least_opset}, {name} has {model.opset}: export it again")
