"""What an ONNX file says before it is run: whether it is whole, has its weights, and takes images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from densebench.errors import InputError, UsageError
from densebench.workloads.onnx_counts import tensors

if TYPE_CHECKING:
    import onnx

INSTALL = "pip install 'densebench[onnx]'"
MOST_BYTES = 2**31 - 1  # a protobuf message holds no more, and the artifacts are single files


class Images(NamedTuple):
    """The input of a graph that takes images."""

    name: str
    batch: int | None  # None: any
    channels: int
    size: int | None  # pixels; None: any


def read_model(path: Path) -> tuple[onnx.ModelProto, str]:
    """The file with its weights, and the SHA-256 of both.

    Raises:
        UsageError: ONNX isn't installed.
        InputError: the file or one beside it is missing, damaged or too large.

    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise UsageError(f"{path} needs ONNX: {INSTALL}") from None
    content = _content(path)
    damaged = f"{path} is not a whole ONNX file: copy or export it again"
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise InputError(damaged) from None
    if not model.graph.node:
        raise InputError(damaged)
    beside = _load_weights(path, model, len(content))
    digest = hashlib.sha256(content)
    for file in beside:
        digest.update(file.read_bytes())
    return model, digest.hexdigest()


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the ONNX file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} doesn't exist: give --model an ONNX file or a torchvision model") from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}): check its permissions") from None


def _load_weights(path: Path, model: onnx.ModelProto, size: int) -> list[Path]:
    """Read what lies in other files into a model of `size` bytes; return those files."""
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    places = sorted({ExternalDataInfo(t).location for t in tensors(model) if uses_external_data(t)})
    files = [path.parent / place for place in places]
    for place, file in zip(places, files, strict=True):
        if not file.is_file():
            raise InputError(f"{path} has weights in {place}, which isn't there: put it beside the file")
        size += file.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path} has {size / 1e9:.1f} GB of weights: an ONNX model here can have 2 GB")
    try:
        load_external_data_for_model(model, str(path.parent))  # refuses places outside the folder
    except Exception as error:  # noqa: BLE001 - each thing that can be wrong has a kind of its own
        raise InputError(
            f"{path}: its weights can't be read ({first_line(error)}): export it again"
        ) from None
    return files


def image_input(path: Path, model: onnx.ModelProto) -> Images:
    """The one input of a graph with one output.

    Raises:
        InputError: there are more, or it doesn't take images.

    """
    from onnx import TensorProto

    held = {tensor.name for tensor in model.graph.initializer}  # older files list weights among the inputs
    inputs = [value for value in model.graph.input if value.name not in held]
    outputs = [value.name for value in model.graph.output]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"{path} has {len(inputs)} inputs ({names}): export it with the images alone")
    if len(outputs) != 1:
        raise InputError(f"{path} has {len(outputs)} outputs ({', '.join(outputs)}): export the logits alone")
    kind = inputs[0].type.tensor_type
    dims = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(dims) != 4 or dims[1] not in (1, 3):
        raise _no_images(path, kind)
    batch, channels, height, width = dims
    assert channels is not None
    if height and width and height != width:
        raise InputError(f"{path} takes images of {height} x {width} pixels: export it for square ones")
    return Images(inputs[0].name, batch, channels, height or width)


def _no_images(path: Path, kind: onnx.TypeProto.Tensor) -> InputError:
    import onnx

    shape = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in kind.shape.dim)
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return InputError(
        f"{path}: its input is {name} ({shape}), not images: export it for FLOAT "
        "(batch, 1 or 3 channels, height, width)"
    )


def first_line(error: Exception) -> str:
    """The first line of a library's message, short."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
