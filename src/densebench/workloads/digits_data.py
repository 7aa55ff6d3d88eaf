"""Scikit-learn's 1,797 handwritten digits, scaled to any size: a data set that needs no network.

A thousand of them are held out for validation and were never trained on. The split is fixed, whatever the
seed of a run, because the embedded checkpoints were trained on the other 797; a checkpoint names its split's
fingerprint, so that a library that one day splits otherwise is noticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.errors import InputError, UsageError
from densebench.workloads.base import ImageSet, Preprocessing, Splits, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

CLASSES = tuple(str(digit) for digit in range(10))
MEAN, STD = 0.3053, 0.3760  # of the 1,797 images' values in 0..1
VALIDATION, TIMING, CALIBRATION = 1000, 64, 256
FINGERPRINT = "fbe2df7e0058"  # of the split that the embedded checkpoints were trained on
_SPLIT_SEED = 0


@dataclass(frozen=True)
class DigitsSplit:
    """Positions in scikit-learn's digits; `calibration` is part of `training`, the others share nothing."""

    validation: tuple[int, ...]
    timing: tuple[int, ...]
    training: tuple[int, ...]
    calibration: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change when another image is held out."""
        return hashlib.sha256(repr(sorted(self.validation)).encode()).hexdigest()[:12]


def preprocessing(image_size: int) -> Preprocessing:
    """The whole image at `image_size` x `image_size` pixels, normalized; three equal channels."""
    return Preprocessing(resize=image_size, crop=image_size, mean=(MEAN,) * 3, std=(STD,) * 3)


def load_images() -> tuple[Tensor, tuple[int, ...]]:
    """Every digit as float32 (1797, 1, 8, 8) with values in 0..1, and its class."""
    import numpy as np
    import torch

    table = np.loadtxt(_table_path(), delimiter=",", dtype=np.float32)  # 64 pixels in 0..16, then the class
    images = torch.from_numpy(table[:, :-1].reshape(-1, 1, 8, 8) / np.float32(16))
    return images, tuple(int(label) for label in table[:, -1])


def _table_path() -> Path:
    """The file that `sklearn.datasets.load_digits` reads: importing it takes 2 s in every child, finding it none."""
    found = find_spec("sklearn")
    path = (
        Path((found.submodule_search_locations or [""])[0] if found else "") / "datasets/data/digits.csv.gz"
    )
    if not path.is_file():
        raise InputError(f"scikit-learn's digits aren't at {path}: install scikit-learn, or use --data none")
    return path


def split(labels: Sequence[int]) -> DigitsSplit:
    """The fixed split of the digits: each set holds the ten classes in equal shares, give or take one."""
    import numpy as np

    rng = np.random.RandomState(_SPLIT_SEED)  # its stream is frozen by NumPy, unlike default_rng's
    order = _deal(np.asarray(labels), rng)
    validation, rest = order[:VALIDATION], order[VALIDATION:]
    timing, training = rest[:TIMING], rest[TIMING:]
    return DigitsSplit(tuple(validation), tuple(timing), tuple(training), tuple(training[:CALIBRATION]))


def _deal(labels: np.ndarray, rng: np.random.RandomState) -> list[int]:
    """All positions in an order of which every stretch holds the classes in equal shares.

    Each class is shuffled and spread evenly over 0..1; sorting by that place mixes the classes.
    """
    import numpy as np

    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random_sample()) / len(members)
    return [int(position) for position in np.argsort(place, kind="stable")]


def scale(images: Tensor, look: Preprocessing) -> Tensor:
    """Scale float32 (n, 1, 8, 8) in 0..1 to normalized, contiguous float32 (n, channels, crop, crop).

    The whole digit is kept: the resize that `look` has before its crop would cut strokes off.
    """
    import torch
    from torch.nn import functional

    larger = functional.interpolate(images, size=(look.crop, look.crop), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(values)[:, None, None] for values in (look.mean, look.std))
    return (larger - mean) / std


def open_digits(weights: Weights) -> Splits:
    """The digits as a workload's data: 1,000 to validate, 256 to calibrate, 64 to time, 733 to train.

    Args:
        weights: of a model with ten classes; its preprocessing says size, channels and normalization.

    Raises:
        UsageError: the model has other than ten classes.
        InputError: scikit-learn's digits are not those that the embedded checkpoints were trained on.

    """
    look = weights.preprocessing
    if len(weights.classes) != len(CLASSES):
        raise UsageError(
            f"the digits have ten classes, this model has {len(weights.classes)}: use --weights digits, "
            "or --data none or a folder"
        )
    images, labels = load_images()
    parts = split(labels)
    if parts.fingerprint != FINGERPRINT:
        raise InputError("scikit-learn's digits have changed since training: run densebench train")

    def image_set(positions: tuple[int, ...]) -> ImageSet:
        def read(wanted: Sequence[int]) -> Tensor:
            return scale(images[[positions[p] for p in wanted]], look)

        return ImageSet(tuple(labels[p] for p in positions), read)

    def timing(batch_size: int) -> Tensor:
        return scale(images[[parts.timing[i % len(parts.timing)] for i in range(batch_size)]], look)

    return Splits(
        label="digits",
        calibration=image_set(parts.calibration),
        validation=image_set(parts.validation),
        timing=timing,
        training=image_set(parts.training),
    )
