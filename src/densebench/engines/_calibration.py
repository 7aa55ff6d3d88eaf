"""The images that static INT8 takes its ranges from: the same demand, and the same refusal, in every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from densebench.workloads.base import ImageSet, Splits

LEAST = 8  # images; fewer say little of the ranges


def calibration_images(data: Splits, *, parts: int = 1, wanted: int = 0) -> ImageSet:
    """The calibration images; all training images, if the data has such, where those don't suffice.

    They are never the validation images: the accuracy reported is measured on those.

    Args:
        data: the workload's images.
        parts: how many sets the images are cut into, one of them to calibrate on; more than one takes all of them.
        wanted: how many images to calibrate on were asked for; 0 where nobody said.

    Raises:
        Unavailable: the data has none.
        UsageError: it has too few, or fewer than were asked for.

    """
    if data.calibration is None:
        raise Unavailable(
            "INT8 needs calibration images: give --data a folder or imagenette, or use --weights digits"
        )
    enough = parts == 1 and wanted <= len(data.calibration)
    images = data.calibration if enough else data.training or data.calibration
    if len(images) < parts * LEAST:
        raise UsageError(
            f"{len(images)} image{'s' * (len(images) != 1)} to calibrate INT8 with, {parts * LEAST} are needed: "
            "put more images into the --data folder"
        )
    if wanted > (found := len(images) // parts):
        raise UsageError(
            f"{wanted} images to calibrate INT8 with were asked for, {found} are there: ask for fewer, or put more "
            "images into the --data folder"
        )
    return images


def wanted_images(data: Splits, wanted: int, usual: int) -> ImageSet:
    """As many calibration images as are wanted, spread over all; more than there are come from the training images.

    Args:
        data: of the workload.
        wanted: how many.
        usual: the number that nobody asked for: where there are fewer, all calibration images are taken.

    Raises:
        Unavailable: the data has none.
        UsageError: it has too few, or fewer than were asked for.

    """
    images = calibration_images(data, wanted=0 if wanted == usual else wanted)
    count = min(wanted, len(images))
    return images.subset([index * len(images) // count for index in range(count)])
