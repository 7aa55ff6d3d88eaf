"""A workload is a model with its weights, and images to calibrate, validate and time it with.

The three sets of images never overlap. Every source of weights or data is one file in this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from densebench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes the model's input.

    The shorter side is resized to `resize` pixels, the centre `crop` x `crop` is kept, values in 0..1 are
    normalized with `mean` and `std` (one number per channel: three, or one for a grey-scale model).
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    @property
    def channels(self) -> int:
        return len(self.mean)


@dataclass(frozen=True)
class WorkloadRequest:
    """What the user asked for, in the words of the command line."""

    model: str = "densenet121"
    weights: str = "auto"
    data: str = "auto"
    image_size: int = 224
    seed: int = 0


@dataclass(frozen=True)
class ImageSet:
    """Labelled images that are read only when asked for.

    Args:
        labels: the class index of each image, as the model counts classes.
        read: positions in this set -> float32 images (n, channels, size, size), preprocessed. A position
            whose file can't be decoded must not be in the set: the source leaves it out when it opens.

    """

    labels: tuple[int, ...]
    read: Callable[[Sequence[int]], Tensor]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, positions: Sequence[int]) -> ImageSet:
        """The images at these positions alone. The others are never read."""
        labels = tuple(self.labels[p] for p in positions)
        return ImageSet(labels, lambda wanted: self.read([positions[p] for p in wanted]))

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images (n, c, h, w) with int64 labels (n,); the last batch may be smaller."""
        import torch

        for start in range(0, len(self), batch_size):
            positions = range(start, min(start + batch_size, len(self)))
            yield self.read(positions), torch.tensor([self.labels[p] for p in positions])


@dataclass(frozen=True)
class Splits:
    """The images of a workload, in sets that share no image; None where the data has none."""

    label: str  # for the CSV: digits, imagenette, none, or the folder's name
    calibration: ImageSet | None
    validation: ImageSet | None
    timing: Callable[[int], Tensor]  # batch size -> float32 (n, c, h, w); repeats images where it must
    training: ImageSet | None = None  # calibration may be part of it; validation and timing never are
    notes: tuple[str, ...] = ()
    noise: bool = False  # the timing images are random numbers, and no pictures
    no_validation: str = "the data has no labelled images"  # why there is none, where there is none


@dataclass(frozen=True)
class Weights:
    """A model's weights and what is known about them.

    `state` is a complete state dict of float32 tensors on the CPU; `sha256` is of the file it came from (of
    the seed's text for random weights).
    """

    label: str  # for the CSV: imagenet, digits, random, or the file's name
    state: dict[str, Tensor]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: str
    image_sizes: tuple[int, ...] = ()  # the sizes these weights were trained for; empty: unknown
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnnxFile:
    """A model that is an ONNX graph and no PyTorch module, opened and checked.

    Args:
        path: the file; weights may lie in other files beside it.
        input: name of the images, (n, c, h, w), float32.
        output: name of the logits, (n, classes), float32.
        batch_size: the only one that the graph takes, or None for any.
        classes: logits of an image.
        opset: version of the operators.
        quantized: whether it computes in INT8 already.
        parameters: elements of its weights.
        macs: multiply-accumulates of one image.
        activations: elements of one image that convolutions and products of matrices read and write.
        zero_fraction: share of exact zeros in the weights.
        run: images on the CPU -> logits, by ONNX Runtime.

    """

    path: Path
    input: str
    output: str
    batch_size: int | None
    classes: int
    opset: int
    quantized: bool
    parameters: int
    macs: int
    activations: int
    zero_fraction: float
    run: Callable[[Tensor], Tensor] = field(repr=False)

    def check_batches(self, batch_sizes: Sequence[int]) -> None:
        """Say what to change where the file can't take one of these.

        Raises:
            UsageError: it was exported for another batch size only.

        """
        if self.batch_size is not None and set(batch_sizes) != {self.batch_size}:
            raise UsageError(
                f"{self.path} takes batches of {self.batch_size} only: use --batch-sizes {self.batch_size}, "
                "or export it with a dynamic batch"
            )


class Reference(NamedTuple):
    """A model that can be run."""

    run: Callable[[Tensor], Tensor]
    parameters: int
    batch_size: int = 1  # that it can be run at


@dataclass(frozen=True)
class Workload:
    """A model with weights and data, opened and checked.

    The model is a PyTorch module, or an ONNX file: then `build_model` has nothing to build, and says so.
    """

    model_name: str
    image_size: int
    weights: Weights
    data: Splits
    build_model: Callable[[], nn.Module] = field(repr=False)  # a new FP32 model in eval mode, weights loaded
    onnx_file: OnnxFile | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that a person should read before trusting the rows."""
        return self.weights.notes + self.data.notes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return (self.weights.preprocessing.channels, self.image_size, self.image_size)

    def reference(self) -> Reference:
        """The model as it is, in FP32 on the CPU."""
        if self.onnx_file is not None:
            return Reference(self.onnx_file.run, self.onnx_file.parameters, self.onnx_file.batch_size or 1)
        model = self.build_model()
        return Reference(model, sum(p.numel() for p in model.parameters()))


CACHE_VARIABLE = "DENSEBENCH_CACHE"  # a folder for downloaded data sets; default ~/.cache/densebench


def cache_folder() -> Path:
    """Where downloaded data sets are kept."""
    import os

    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "densebench"
    return Path(os.environ.get(CACHE_VARIABLE) or default)
