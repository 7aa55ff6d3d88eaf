"""A workload is a model with its weights, and images to calibrate, validate and time it with.

The three sets of images never overlap. Every source of weights or data is one file in this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
class Workload:
    """A model with weights and data, opened and checked."""

    model_name: str
    image_size: int
    weights: Weights
    data: Splits
    build_model: Callable[[], nn.Module] = field(repr=False)  # a new FP32 model in eval mode, weights loaded

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that a person should read before trusting the rows."""
        return self.weights.notes + self.data.notes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return (self.weights.preprocessing.channels, self.image_size, self.image_size)


CACHE_VARIABLE = "DENSEBENCH_CACHE"  # a folder for downloaded data sets; default ~/.cache/densebench


def cache_folder() -> Path:
    """Where downloaded data sets are kept."""
    import os

    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "densebench"
    return Path(os.environ.get(CACHE_VARIABLE) or default)
