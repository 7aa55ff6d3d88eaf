"""A folder of images, one subfolder per class, read an image at a time.

How a class folder finds the model's class, in this order: by the class's name, by its number, as one of
Imagenette's ten WordNet ids, or, where there is one folder per class of the model, by sorted order (so that
the ImageNet validation set with its 1000 ids fits). That order is a guess, which a note tells: it is not made where
some of the folders have a class's name and others don't.

How images are shared out: with `train/` and `val/` inside, training and calibration come from the one,
validation and timing from the other. Else a seeded shuffle gives up to 64 images to timing and up to 256 to
calibration, never more than a fifth each, and the rest to validation; fine-tuning then has the calibration
images only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.errors import InputError
from densebench.workloads.base import ImageSet, Preprocessing, Splits, Weights
from densebench.workloads.decoding import fingerprint, read_images, undecodable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

TIMING, CALIBRATION, SHARE = 64, 256, 5  # at most so many images, and at most one in SHARE
IMAGENET_CLASSES = 1000
NAMED = ("auto", "imagenette", "digits", "none")  # data that is no folder
_NAMED = 3  # broken files, or folders, that one line names
IMAGENETTE = {
    "n01440764": 0,
    "n02102040": 217,
    "n02979186": 482,
    "n03000684": 491,
    "n03028079": 497,
    "n03394916": 566,
    "n03417042": 569,
    "n03425413": 571,
    "n03445777": 574,
    "n03888257": 701,
}


@dataclass(frozen=True)
class _Listing:
    """Readable image files with the model's class of each, and what a person should know about the rest."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    notes: tuple[str, ...]


def open_folder(root: Path, weights: Weights, seed: int) -> Splits:
    """Open `root`, which holds class folders, or `train/` and `val/` that do.

    Raises:
        InputError: it is missing, empty, without class folders, or its classes aren't the model's.

    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "doesn't exist"
        raise InputError(f"{root} {what}: give --data auto, imagenette, digits, none or a folder of images")
    if (root / "train").is_dir() and (root / "val").is_dir():
        return open_train_and_val(root, weights, seed, label=root.resolve().name)
    listing = _list(root, weights.classes)
    order = _shuffled(len(listing.paths), seed)
    fifth = len(order) // SHARE
    if fifth == 0:
        raise InputError(f"{root} has {len(order)} readable images: give it at least {SHARE}")
    timing_end = min(TIMING, fifth)
    calibration_end = timing_end + min(CALIBRATION, fifth)
    calibration = _image_set(listing, order[timing_end:calibration_end], weights.preprocessing)
    return Splits(
        label=root.resolve().name,
        calibration=calibration,
        validation=_image_set(listing, order[calibration_end:], weights.preprocessing),
        timing=_timing(listing, order[:timing_end], weights.preprocessing),
        training=calibration,
        notes=listing.notes,
    )


def folder_fingerprint(data: str) -> str:
    """What tells one `--data` folder from another, or from itself with other files; "" for data that has a name."""
    if data in NAMED:
        return ""
    root = Path(data).expanduser().resolve()
    found = os.walk(root, followlinks=True)  # as they are looked for when it is opened
    files = [Path(folder) / name for folder, _, names in found for name in names if not name.startswith(".")]
    return fingerprint(sorted(files))[:16]


def open_train_and_val(root: Path, weights: Weights, seed: int, label: str) -> Splits:
    """Open a folder with `train/` and `val/`, each of which holds class folders.

    Args:
        root: the folder.
        weights: whose classes and preprocessing to use.
        seed: of the choice of calibration and timing images.
        label: for the CSV.

    Raises:
        InputError: as `open_folder`.

    """
    train, val = (_list(root / part, weights.classes) for part in ("train", "val"))
    if not train.paths or len(val.paths) < SHARE:
        raise InputError(
            f"{root} has {len(train.paths)} readable images in train/ and {len(val.paths)} in val/: "
            f"give it at least one and {SHARE}"
        )
    for_training, held_out = _shuffled(len(train.paths), seed), _shuffled(len(val.paths), seed)
    timing_end = min(TIMING, len(held_out) // SHARE)
    calibration_end = min(CALIBRATION, max(1, len(for_training) // SHARE))
    return Splits(
        label=label,
        calibration=_image_set(train, for_training[:calibration_end], weights.preprocessing),
        validation=_image_set(val, held_out[timing_end:], weights.preprocessing),
        timing=_timing(val, held_out[:timing_end], weights.preprocessing),
        training=_image_set(train, for_training, weights.preprocessing),
        notes=train.notes + val.notes,
    )


def _list(root: Path, classes: Sequence[str]) -> _Listing:
    """Every image under the class folders of `root` that can be decoded."""
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    names = sorted(
        entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise InputError(_without_classes(root))
    index, guess = class_indices(names, classes, root)
    samples = make_dataset(str(root), index, extensions=IMG_EXTENSIONS, allow_empty=True)
    if not samples:
        raise InputError(f"{root} has class folders but no images in them: put images (JPEG, PNG …) there")
    paths = [Path(path) for path, _ in samples]
    broken = undecodable(paths)
    kept = [(path, label) for path, (_, label) in zip(paths, samples, strict=True) if path not in broken]
    notes = [guess] if guess else []
    if broken:
        shown = ", ".join(str(path.relative_to(root)) for path in sorted(broken)[:_NAMED])
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        notes.append(f"{len(broken)} of {len(paths)} images in {root} can't be decoded: {shown}{more}")
    empty = sorted(set(index.values()) - {label for _, label in kept})
    if empty:
        notes.append(f"{len(empty)} of {len(index)} class folders in {root} hold no readable image")
    return _Listing(tuple(p for p, _ in kept), tuple(label for _, label in kept), tuple(notes))


def class_indices(names: Sequence[str], classes: Sequence[str], root: Path) -> tuple[dict[str, int], str]:
    """Class folder -> class of the model, by the rules at the top of this file; a note where it is a guess.

    Raises:
        InputError: no rule fits all of the folders.

    """
    plain = [_plain(name) for name in classes]
    by_name = {name: index for index, name in enumerate(plain) if plain.count(name) == 1}
    if all(_plain(name) in by_name for name in names):
        return {name: by_name[_plain(name)] for name in names}, ""
    if all(name.isascii() and name.isdigit() and int(name) < len(classes) for name in names):
        return {name: int(name) for name in names}, ""
    if len(classes) == IMAGENET_CLASSES and set(names) <= set(IMAGENETTE):
        return {name: IMAGENETTE[name] for name in names}, ""
    strays = [name for name in names if _plain(name) not in by_name]
    if len(names) == len(classes) == len(strays):
        ends = f"{names[0]} is {classes[0]}" + (f", {names[-1]} is {classes[-1]}" if len(names) > 1 else "")
        note = f"{root}: no folder has a class's name, so they are taken in sorted order: {ends}"
        return {name: index for index, name in enumerate(names)}, note
    more = f" and {len(strays) - _NAMED} more" if len(strays) > _NAMED else ""
    shown = ", ".join(map(repr, strays[:_NAMED])) + more
    raise InputError(
        f"{root} has {len(names)} class folders, the model has {len(classes)} classes, and {len(strays)} of the "
        f"folders are none of them ({shown}): name the folders after the model's classes or their numbers"
    )


def _without_classes(root: Path) -> str:
    files = [entry for entry in root.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    if not files:
        return f"{root} is empty: put one folder of images per class in it"
    if any(file.suffix.lower() in (".csv", ".tsv") for file in files):
        return (
            f"{root} has images and a table of labels, as multi-label data sets do, but no class folders: "
            "only single-label data, one folder per class, can be validated"
        )
    return f"{root} has no class folders: sort its {len(files)} files into one folder per class"


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ").replace("-", " ")


def _shuffled(count: int, seed: int) -> list[int]:
    import torch

    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return order


def _image_set(listing: _Listing, positions: Sequence[int], preprocessing: Preprocessing) -> ImageSet:
    def read(wanted: Sequence[int]) -> Tensor:
        return read_images([listing.paths[positions[p]] for p in wanted], preprocessing)

    return ImageSet(tuple(listing.labels[p] for p in positions), read)


def _timing(listing: _Listing, positions: Sequence[int], preprocessing: Preprocessing) -> _Timing:
    return _Timing(tuple(listing.paths[p] for p in positions), preprocessing)


@dataclass(frozen=True)
class _Timing:
    """Batch size -> images to time with, each file decoded once a call."""

    paths: tuple[Path, ...]
    preprocessing: Preprocessing

    def __call__(self, batch_size: int) -> Tensor:
        images = read_images(self.paths[:batch_size], self.preprocessing)
        return images[[position % len(images) for position in range(batch_size)]]
