"""Imagenette: ten ImageNet classes that any ImageNet classifier can be validated on, in 100 to 340 MB.

Its labels are turned into the model's own: `tench` is class 0 of 1000, `parachute` class 701.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from densebench.errors import InputError, UsageError
from densebench.workloads.base import Splits, Weights, cache_folder
from densebench.workloads.downloads import DownloadFailed, NotDownloaded, fetch, hash_matches
from densebench.workloads.folder import IMAGENET_CLASSES, IMAGENETTE, open_train_and_val

_SIZES = ("320px", "160px", "full")
_ENOUGH_OF_160 = 176  # pixels of the shorter side, up to which 160 enlarged a little are good enough


def open_imagenette(weights: Weights, seed: int, deadline_s: float | None = None) -> Splits:
    """Imagenette from the cache or the network, read as a folder with `train/` and `val/`.

    Args:
        weights: of a model with ImageNet's 1000 classes.
        seed: of the choice of calibration and timing images.
        deadline_s: seconds that the download may take, unpacking not counted; None for no limit.

    Raises:
        UsageError: the model has other classes.
        InputError: it is neither cached nor can it be had, or it is damaged.

    """
    if len(weights.classes) != IMAGENET_CLASSES:
        raise UsageError(
            f"imagenette needs a model with ImageNet's 1000 classes, this one has {len(weights.classes)}: "
            "use --data none or a folder of its own classes"
        )
    root = _unpacked(_wanted_size(weights.preprocessing.resize), deadline_s)
    for part in ("train", "val"):
        found = {entry.name for entry in root.glob(f"{part}/n*")}
        if found != set(IMAGENETTE):
            raise InputError(
                f"{root / part} holds {len(found)} of the ten classes: delete {root} and run again"
            )
    return open_train_and_val(root, weights, seed, label="imagenette")


def _wanted_size(resize: int) -> str:
    """A cached edition if there is one, else the smallest that need not be enlarged much."""
    for size in _SIZES:
        if _folder(size).is_dir() or _archive(size).is_file():
            return size
    return "160px" if resize <= _ENOUGH_OF_160 else "320px"


def _source(size: str) -> tuple[str, str]:
    """(address, MD5) of an edition, as torchvision publishes them."""
    from torchvision.datasets import Imagenette

    url, md5 = Imagenette._ARCHIVES[size]  # noqa: SLF001 - it publishes them nowhere else
    return url, md5


def _archive(size: str) -> Path:
    return cache_folder() / Path(_source(size)[0]).name


def _folder(size: str) -> Path:
    return cache_folder() / Path(_source(size)[0]).stem


def _unpacked(size: str, deadline_s: float | None) -> Path:
    """The folder of an edition, fetched and unpacked where it isn't there yet, whole or not at all."""
    folder, archive = _folder(size), _archive(size)
    if folder.is_dir():
        return folder
    url, md5 = _source(size)
    if not hash_matches(archive, "md5", md5):
        try:
            fetch(url, archive, "md5", md5, deadline_s)
        except DownloadFailed as error:
            raise NotDownloaded(
                f"no Imagenette ({error})",
                f"put the file {archive.name} in {archive.parent}, or use --data none or a folder",
            ) from error
    with tempfile.TemporaryDirectory(dir=cache_folder(), suffix=".part") as temporary:
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(temporary, filter="data")  # refuses links and paths that lead outside
            (Path(temporary) / folder.name).replace(folder)
        except (OSError, tarfile.TarError) as error:
            raise InputError(f"{archive} can't be unpacked ({error}): make room or delete it") from error
    archive.unlink(missing_ok=True)  # the pictures are there; a second copy is a waste of disk
    return folder
