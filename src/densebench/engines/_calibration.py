"""The images that static INT8 takes its ranges from: the same demand, and the same refusal, in every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from densebench.workloads.base import ImageSet, Splits

LEAST = 8  # images; fewer say little of the ranges


def calibration_images(data: Splits, *, parts: int = 1) -> ImageSet:
    """The calibration images; where they are cut into `parts`, all training images if the data has such.

    They are never the validation images: the accuracy reported is measured on those.

    Raises:
        Unavailable: the data has none.
        UsageError: it has too few.

    """
    if data.calibration is None:
        raise Unavailable(
            "INT8 needs calibration images: give --data a folder or imagenette, or use --weights digits"
        )
    images = data.calibration if parts == 1 else data.training or data.calibration
    if len(images) < parts * LEAST:
        raise UsageError(
            f"{len(images)} image{'s' * (len(images) != 1)} to calibrate INT8 with, {parts * LEAST} are needed: "
            "put more images into the --data folder"
        )
    return images
