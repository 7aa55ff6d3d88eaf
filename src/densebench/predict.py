"""A saved model on image files: the preprocessing of its manifest, then its five likeliest classes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from densebench.api import load
from densebench.artifact import read_manifest
from densebench.errors import InputError
from densebench.workloads.base import Preprocessing
from densebench.workloads.decoding import read_images

TOP = 5


def print_predictions(artifact: Path, images: list[Path], console: Console, *, trust: bool) -> None:
    """Print, for each image, up to five classes with their probabilities.

    Raises:
        InputError: a file that is no image; RefusedArtifact: an artifact that must not be loaded.

    """
    manifest = read_manifest(artifact, trusted=trust)
    expected = manifest.input
    how = Preprocessing(expected.resize, expected.crop, expected.mean, expected.std, expected.interpolation)
    model = load(artifact, trust=trust)
    for path in images:
        try:
            batch = read_images([path], how)
        except OSError as error:
            raise InputError(f"{path} can't be read as an image: {error.strerror or error}") from None
        probabilities = model(batch).softmax(dim=1)[0].cpu()
        best = probabilities.topk(min(TOP, len(manifest.classes)))
        console.print(f"{path}", highlight=False, markup=False)
        for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            console.print(
                f"  {100 * probability:5.1f} %  {manifest.classes[index]}", highlight=False, markup=False
            )
