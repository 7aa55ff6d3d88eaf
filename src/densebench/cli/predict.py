"""A saved model on image files: the preprocessing of its manifest, then its five likeliest classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from densebench.artifacts.load import Artifact, open_checked
from densebench.errors import InputError
from densebench.text import one_line
from densebench.workloads.base import Preprocessing
from densebench.workloads.decoding import read_images

if TYPE_CHECKING:
    from torch import Tensor

TOP = 5


def print_predictions(artifact: Path, images: list[Path], console: Console, *, trust: bool) -> None:
    """Print, for each image, up to five classes with their probabilities.

    Raises:
        InputError: a file that is no image; RefusedArtifact: an artifact that must not be loaded.

    """
    with open_checked(artifact, trust=trust) as model:
        for path in images:
            best = _probabilities(model, path).topk(min(TOP, len(model.manifest.classes)))
            console.print(f"{path}", highlight=False, markup=False)
            for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                name = model.manifest.classes[index]
                console.print(f"  {100 * probability:5.1f} %  {name}", highlight=False, markup=False)


def _probabilities(model: Artifact, path: Path) -> Tensor:
    """Of each class, for one image file."""
    expected = model.manifest.input
    how = Preprocessing(expected.resize, expected.crop, expected.mean, expected.std, expected.interpolation)
    try:
        image = read_images([path], how)
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise whatever a broken file makes them
        why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(str(error))
        raise InputError(f"{path} can't be read as an image: {why}") from None
    # a model of one batch size gets as many copies
    return model(image.repeat(expected.shape[0] or 1, 1, 1, 1)).softmax(dim=1)[0].cpu()
