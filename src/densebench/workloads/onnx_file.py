"""An ONNX file of the user's own as the model: opened, checked, and run once.

Its weights are in it, or in files beside it. It is asked for what every model here has: one input of FP32 images
of one size, and one output of logits for each image. Nothing in such a file is code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.errors import InputError, Unavailable, UsageError
from densebench.workloads.base import ImageSet, OnnxFile, Splits, Weights, WorkloadRequest
from densebench.workloads.checkpoint_file import UNDESCRIBED, default_preprocessing
from densebench.workloads.onnx_counts import count
from densebench.workloads.onnx_reading import INSTALL, first_line, image_input, read_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from torch import Tensor, nn

PROBED = 2  # images; a batch of 1 would not show that a graph takes only that


@dataclass(frozen=True)
class Opened:
    """The file, what is said of its weights, and the size of its images in pixels."""

    file: OnnxFile
    weights: Weights
    image_size: int


def open_onnx_file(request: WorkloadRequest) -> Opened:
    """Read and check the file that the request names, and find out its classes by running it.

    Raises:
        UsageError: weights of another source, or ONNX Runtime isn't installed.
        InputError: the file is missing, damaged, or no image classifier that can be run here.

    """
    path = Path(request.model).expanduser()
    if request.weights not in ("auto", path.name):  # the name is what `auto` came to
        raise UsageError(f"{path} holds its own weights: leave out --weights {request.weights}")
    model, digest = read_model(path)
    given = image_input(path, model)
    size = given.size or request.image_size
    run = _runner(path, given.name, model.graph.output[0].name)
    classes = _classes(path, run, (given.batch or PROBED, given.channels, size, size))
    counts = count(model, given.name, (given.batch or 1, given.channels, size, size))
    operators = {node.op_type for node in model.graph.node}
    file = OnnxFile(
        path=path,
        input=given.name,
        output=model.graph.output[0].name,
        batch_size=given.batch,
        classes=classes,
        opset=next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0),
        quantized=any("QuantizeLinear" in name or name.startswith("QLinear") for name in operators),
        parameters=counts.parameters,
        macs=counts.macs,
        activations=counts.activations,
        zero_fraction=counts.zero_fraction,
        run=run,
    )
    weights = Weights(
        label=path.name,
        state={},
        classes=tuple(str(index) for index in range(classes)),
        preprocessing=default_preprocessing(size, given.channels),
        sha256=digest,
        notes=(
            f"{path.name} is no PyTorch model that could run eagerly: the baseline is the file in ONNX Runtime",
            *_notes(path.name, model, size, request.image_size),
            UNDESCRIBED.format(path.name),
        ),
    )
    return Opened(file, weights, size)


def no_module(name: str) -> Callable[[], nn.Module]:
    """What stands for `Workload.build_model` where there is nothing to build."""

    def build_model() -> nn.Module:
        raise Unavailable(f"{name} is an ONNX file, not a PyTorch model")

    return build_model


def fitted(data: Splits, batch_size: int | None) -> Splits:
    """The data for a graph of a fixed batch size: the validation images that don't fill a batch are left out."""
    images = data.validation
    if batch_size is None or images is None or len(images) % batch_size == 0:
        return data
    whole = len(images) // batch_size * batch_size
    few = f"fewer labelled images ({len(images)}) than a batch of {batch_size} has, the only one that the graph takes"
    return replace(
        data, validation=ImageSet(images.labels[:whole], images.read) if whole else None, no_validation=few
    )


def _runner(path: Path, given: str, wanted: str) -> Callable[[Tensor], Tensor]:
    """The file in ONNX Runtime on the CPU."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"{path} needs ONNX Runtime: {INSTALL}") from None
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong is raised
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - it has a kind of its own for each cause
        raise InputError(
            f"{path}: ONNX Runtime can't load it ({first_line(error)}): export it again"
        ) from None

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([wanted], {given: images.numpy()})[0])

    return run


def _classes(path: Path, run: Callable[[Tensor], Tensor], shape: tuple[int, int, int, int]) -> int:
    """How many logits it gives for an image."""
    import torch

    try:
        outputs = run(torch.zeros(shape))
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{path}: ONNX Runtime can't run it on {shape} ({first_line(error)})") from None
    if (
        outputs.dtype != torch.float32
        or outputs.ndim != 2
        or len(outputs) != shape[0]
        or outputs.shape[1] < 2
    ):
        kind = str(outputs.dtype).removeprefix("torch.")
        raise InputError(
            f"{path} answers {shape[0]} images with {kind} {tuple(outputs.shape)}: export it with float32 logits "
            "(batch, classes) as its output"
        )
    return outputs.shape[1]


def _notes(name: str, model: onnx.ModelProto, size: int, asked: int) -> list[str]:
    notes = []
    if size != asked:
        notes.append(f"images have {size} pixels, which is what {name} takes, not {asked}")
    last = next(node.op_type for node in model.graph.node if model.graph.output[0].name in node.output)
    if last in ("Softmax", "LogSoftmax"):
        notes.append(f"{name} ends in a {last}: what is compared as logits are its probabilities")
    return notes
