"""Stage 1: what is measured, a model with its weights and its images.

>>> workload = open_workload(WorkloadRequest(model="densenet121", weights="digits", image_size=64))
>>> model = workload.build_model()
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.errors import InputError, UsageError
from densebench.spec import is_onnx_file
from densebench.workloads.base import (
    ImageSet,
    Preprocessing,
    Splits,
    Weights,
    Workload,
    WorkloadRequest,
    cache_folder,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ImageSet",
    "Preprocessing",
    "Splits",
    "Weights",
    "Workload",
    "WorkloadRequest",
    "cache_folder",
    "open_workload",
]

AUTO_DEADLINE_S = 10.0  # what `auto` spends on one download before it does without


def open_workload(request: WorkloadRequest) -> Workload:
    """Open and check everything that the request names.

    Raises:
        UsageError: names that don't fit together, such as an unknown model.
        InputError: a file, folder or download that can't be used.

    """
    from densebench.workloads.models import check_model

    if is_onnx_file(request.model):
        return _open_onnx(request)
    check_model(request.model, request.image_size)
    weights = _open_weights(request)
    return Workload(
        model_name=request.model,
        image_size=request.image_size,
        weights=weights,
        data=_open_data(request, weights),
        build_model=lambda: load_model(request.model, weights),
    )


def _open_onnx(request: WorkloadRequest) -> Workload:
    from densebench.workloads.onnx_file import fitted, no_module, open_onnx_file

    opened = open_onnx_file(request)
    request = replace(request, image_size=opened.image_size)
    name = opened.file.path.name
    return Workload(
        model_name=name,
        image_size=opened.image_size,
        weights=opened.weights,
        data=fitted(_open_data(request, opened.weights), opened.file.batch_size),
        build_model=no_module(name),
        onnx_file=opened.file,
    )


def load_model(model_name: str, weights: Weights) -> nn.Module:
    """A new float32 model in eval mode that owns a copy of the weights."""
    from densebench.workloads.models import construct

    model = construct(model_name, len(weights.classes), weights.preprocessing.channels)
    model.load_state_dict({name: value.clone() for name, value in weights.state.items()}, assign=True)
    return model


def _open_weights(request: WorkloadRequest) -> Weights:
    from densebench.workloads.checkpoint_file import open_checkpoint
    from densebench.workloads.digits import open_digits_weights
    from densebench.workloads.imagenet import open_imagenet_weights
    from densebench.workloads.random import open_random_weights

    model, size = request.model, request.image_size
    match request.weights:
        case "auto":
            return _auto_weights(request)
        case "imagenet":
            return open_imagenet_weights(model, size)
        case "digits":
            return open_digits_weights(model, size)
        case "random":
            return open_random_weights(model, size, request.seed)
        case path:
            return open_checkpoint(Path(path).expanduser(), model, size)


def _auto_weights(request: WorkloadRequest) -> Weights:
    from densebench.workloads.digits import MODEL, open_digits_weights
    from densebench.workloads.imagenet import open_imagenet_weights
    from densebench.workloads.random import open_random_weights

    try:
        return open_imagenet_weights(request.model, request.image_size, AUTO_DEADLINE_S)
    except InputError as error:
        why = _without_advice(error)
    if request.model == MODEL:
        found = open_digits_weights(request.model, request.image_size)
        what = "the embedded digits weights are used"
    else:
        found = open_random_weights(request.model, request.image_size, request.seed)
        what = "random weights are used"
    return replace(found, notes=(f"{why}: {what}", *found.notes))


def _without_advice(error: InputError) -> str:
    """Why a download failed, without what to do about it: `auto` has done it already."""
    from densebench.workloads.downloads import NotDownloaded

    return error.why if isinstance(error, NotDownloaded) else str(error)


def _open_data(request: WorkloadRequest, weights: Weights) -> Splits:
    from densebench.workloads.digits_data import open_digits
    from densebench.workloads.folder import open_folder
    from densebench.workloads.imagenette import open_imagenette
    from densebench.workloads.none import open_no_data

    nothing = open_no_data(weights.preprocessing.channels, request.image_size, request.seed)
    match request.data, weights.label:
        case ("auto", "digits") | ("digits", _):
            return open_digits(weights)
        case ("auto", "imagenet"):
            try:
                return open_imagenette(weights, request.seed, AUTO_DEADLINE_S)
            except InputError as error:
                why = _without_advice(error)
                return replace(
                    nothing, notes=(f"{why}: accuracy is not measured; --data imagenette waits for it",)
                )
        case ("auto" | "none", _):
            return nothing
        case ("imagenette", _):
            return open_imagenette(weights, request.seed)
        case (path, _):
            return open_folder(Path(path).expanduser(), weights, request.seed)
    raise UsageError(f"--data {request.data} is not known")
