"""From a PyTorch model to one ONNX file: any batch size, layers named after the modules they come from."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx_ir import Graph
    from torch import nn

INPUT, OUTPUT, BATCH = "images", "logits", "batch"
_SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes the modules that a node comes from


def export_onnx(
    model: nn.Module, input_shape: tuple[int, int, int], path: Path, *, batch_sizes: tuple[int, ...]
) -> None:
    """Write an FP32 model from `images` (batch, c, h, w) to `logits` (batch, classes), checked by `onnx.checker`.

    The weights are in the file, or in `<name>.data` beside it where they are larger than an ONNX file may be.
    Nothing of the machine that wrote it (source lines, stack traces) is in it.

    Args:
        model: left as it is.
        input_shape: (channels, height, width) of one image.
        path: the file to write.
        batch_sizes: the sizes that it will be run at. The model is traced at one of them, and holds for all.

    """
    import onnx
    import torch
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    from densebench.model.adapter import served

    # A batch of 1 would be traced as a constant
    traced_at = min((size for size in batch_sizes if size > 1), default=2)
    images = torch.zeros(traced_at, *input_shape, device=next(model.parameters()).device)
    program = torch.onnx.export(
        served(model).eval(),
        (images,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: BATCH},),
        verbose=False,
    )
    assert program is not None, "the dynamo exporter gives a program"
    _name_after_modules(program.model.graph)
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.clear()
    program.save(path, external_data=False)
    onnx.checker.check_model(path, full_check=True)


def _name_after_modules(graph: Graph) -> None:
    """`features.conv0/Conv` for each node and its output, so that profiles and messages say which layer it was."""
    taken: Counter[str] = Counter()
    for node in graph:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "['']"))
        module = (
            next((scope for scope in reversed(scopes[:-1]) if scope), "").removeprefix("core").lstrip(".")
        )
        name = f"{module}/{node.op_type}".lstrip("/")
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        for index, value in enumerate(node.outputs):
            if value not in graph.outputs:
                value.name = f"{node.name}_{index}out" if index else node.name
