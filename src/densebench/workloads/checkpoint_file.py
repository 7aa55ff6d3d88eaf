"""A checkpoint of the user's own: safetensors, or a state dict that `torch.save` wrote.

Nothing in the file is ever executed: a pickle that needs more than tensors and plain containers is refused.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from typing import TYPE_CHECKING, NamedTuple

from densebench.errors import InputError
from densebench.workloads.base import Preprocessing, Weights
from densebench.workloads.states import fit_state, unwrap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNDESCRIBED = (
    "{} doesn't say how its images were prepared: ImageNet's resize, crop and normalization are used; if it "
    "was trained with others, its accuracy here is too low"
)
FORMAT = "densebench-checkpoint-1"  # the value of `format` in the metadata of files that densebench writes


class Contents(NamedTuple):
    """What a checkpoint file held; `metadata` is empty for what `torch.save` wrote."""

    tensors: dict[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str


def default_preprocessing(image_size: int, channels: int = 3) -> Preprocessing:
    """ImageNet's: the shorter side at 256/224 of the crop. A grey-scale model gets the channels' averages."""
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if channels == 1:
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)  # type: ignore[assignment]
    return Preprocessing(resize=round(image_size * 256 / 224), crop=image_size, mean=mean, std=std)


def open_checkpoint(path: Path, model_name: str, image_size: int) -> Weights:
    """Read a checkpoint of this model, with the class count that its last layer has.

    A file that densebench wrote also says its classes, normalization and image sizes. Any other gets
    ImageNet's normalization and numbers for class names, and a note says so.

    Raises:
        InputError: the file is missing, damaged, holds code, or isn't this model's.

    """
    contents = read_tensors(path)
    if contents.metadata.get("format") == FORMAT:
        return described_weights(path, model_name, image_size, contents)
    fitted = fit_state(contents.tensors, model_name, str(path))
    return Weights(
        label=path.name,
        state=fitted.tensors,
        classes=tuple(str(index) for index in range(fitted.num_classes)),
        preprocessing=default_preprocessing(image_size, fitted.channels),
        sha256=contents.sha256,
        notes=(UNDESCRIBED.format(path.name),),
    )


def described_weights(
    path: Path,
    model_name: str,
    image_size: int,
    contents: Contents,
    label: str | None = None,
) -> Weights:
    """Weights from a file with densebench's metadata: model, classes, mean, std, image_sizes.

    Raises:
        InputError: the metadata can't be read, or contradicts the request or the tensors.

    """
    metadata = contents.metadata
    try:
        made_for = metadata["model"]
        classes = tuple(str(name) for name in json.loads(metadata["classes"]))
        mean, std = (tuple(float(v) for v in json.loads(metadata[key])) for key in ("mean", "std"))
        sizes = tuple(int(size) for size in json.loads(metadata["image_sizes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its densebench metadata can't be read ({error}): write it again"
        ) from error
    if made_for != model_name:
        raise InputError(f"{path} is a {made_for}, not a {model_name}: use --model {made_for}")
    fitted = fit_state(contents.tensors, model_name, str(path))
    if len(classes) != fitted.num_classes or not len(mean) == len(std) == fitted.channels:
        raise InputError(
            f"{path}: its metadata names {len(classes)} classes and {len(mean)} channels, its "
            f"weights have {fitted.num_classes} and {fitted.channels}: write it again"
        )
    return Weights(
        label=label or path.name,
        state=fitted.tensors,
        classes=classes,
        preprocessing=Preprocessing(image_size, image_size, mean, std),
        sha256=contents.sha256,
        image_sizes=sizes,
        notes=size_note(label or path.name, sizes, image_size),
    )


def size_note(label: str, trained: tuple[int, ...], image_size: int) -> tuple[str, ...]:
    """A warning line where images have another size (pixels) than the weights were trained for."""
    if not trained or image_size in trained:
        return ()
    sizes = ", ".join(map(str, trained))
    return (f"{label} was trained on images of {sizes} pixels, not {image_size}: its accuracy may be lower",)


def read_tensors(path: Path) -> Contents:
    """Read a file of either kind, running nothing that is in it.

    Raises:
        InputError: the path is missing or a folder, or the file is damaged, foreign or holds code.

    """
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise InputError(f"{path} is a folder: name the checkpoint file in it")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(
            f"{path} doesn't exist: give --weights auto, imagenet, digits, random or a file"
        ) from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}): check its permissions") from error
    if path.suffix != ".safetensors":
        return Contents(unwrap(_unpickle(path), str(path)), {}, digest)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a whole safetensors file: copy or download it again") from error
    return Contents(unwrap(tensors, str(path)), metadata, digest)


def _unpickle(path: Path) -> object:
    """Load with PyTorch's restricted unpickler, which builds tensors and plain containers only."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about file formats; what matters is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error)
        if "Unsupported" in text or "GLOBAL" in text or "TorchScript" in text:
            raise InputError(
                f"{path} holds Python objects, which could run code, not only weights: save it with "
                "torch.save(model.state_dict(), FILE) or as safetensors"
            ) from error
        raise InputError(f"{path} is not a whole PyTorch checkpoint: copy or download it again") from error
