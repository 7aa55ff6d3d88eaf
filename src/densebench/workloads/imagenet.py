"""ImageNet weights as torchvision publishes them: from its cache, else from the network.

The file's name carries the first digits of its SHA-256, so a damaged or foreign file is noticed and fetched
again.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlparse

from densebench.workloads.base import Preprocessing, Weights
from densebench.workloads.checkpoint_file import read_tensors, size_note
from densebench.workloads.digits import MODEL as EMBEDDED
from densebench.workloads.downloads import DownloadFailed, NotDownloaded, fetch, hash_matches
from densebench.workloads.models import torchvision_models
from densebench.workloads.states import fit_state

# these two turn ImageNet's normalization into this one inside the model, by a switch that the weights need;
# the frame leaves the switch off, and the images come normalized this way
_HALVES = ("googlenet", "inception_v3")


def open_imagenet_weights(model_name: str, image_size: int, deadline_s: float | None = None) -> Weights:
    """Torchvision's default weights of this model, its preprocessing scaled to `image_size` (pixels).

    Args:
        model_name: a known classifier.
        image_size: of the crop; the resize before it keeps its ratio to the crop.
        deadline_s: seconds that a download may take; None for no limit.

    Raises:
        NotDownloaded: they are neither cached nor can they be had; the line says where to put which file.

    """
    published = torchvision_models().get_model_weights(model_name).DEFAULT
    path = cached_path(published.url)
    prefix = _hash_prefix(path.name)
    if not hash_matches(path, "sha256", prefix):
        try:
            fetch(published.url, path, "sha256", prefix, deadline_s)
        except DownloadFailed as error:
            raise NotDownloaded(
                f"no ImageNet weights for {model_name} ({error})",
                f"put the file {path.name} in {path.parent}, "
                f"or use --weights {'digits' if model_name == EMBEDDED else 'random'}",
            ) from error
    contents = read_tensors(path)
    fitted = fit_state(contents.tensors, model_name, str(path))
    recipe = published.transforms()
    mean, std = (tuple(recipe.mean), tuple(recipe.std)) if model_name not in _HALVES else ((0.5,) * 3,) * 2
    crop, resize = int(recipe.crop_size[0]), int(recipe.resize_size[0])
    return Weights(
        label="imagenet",
        state=fitted.tensors,
        classes=tuple(published.meta["categories"]),
        preprocessing=Preprocessing(
            resize=round(image_size * resize / crop),
            crop=image_size,
            mean=mean,
            std=std,
            interpolation=recipe.interpolation.value,
        ),
        sha256=contents.sha256,
        image_sizes=(crop,),
        notes=size_note("imagenet", (crop,), image_size),
    )


def cached_path(url: str) -> Path:
    """Where torch keeps the file of this address, whether or not it is there."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _hash_prefix(file_name: str) -> str:
    found = re.search(r"-([0-9a-f]{8,})\.", file_name)
    assert found, f"{file_name} carries no hash"
    return found.group(1)
