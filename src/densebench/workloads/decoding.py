"""Image files to model inputs, and the check that finds the files that can't be decoded.

A run must not die at its last image. So every file is decoded once when its folder is opened, at the lowest
resolution that the format offers, and what was found out is remembered for as long as the files don't change.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densebench import files
from densebench.workloads.base import Preprocessing, cache_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor


def read_image(path: Path, preprocessing: Preprocessing) -> Tensor:
    """Decode and prepare one file: float32 (channels, crop, crop).

    Grey images fill three channels; colour is reduced to luminance for a one-channel model.

    Raises:
        OSError: it is missing, or not an image that can be decoded.

    """
    import PIL.Image
    from torchvision.transforms import InterpolationMode, functional

    with PIL.Image.open(path) as file:
        image: Any = _eight_bits(file).convert("L" if preprocessing.channels == 1 else "RGB")
    how = InterpolationMode(preprocessing.interpolation)
    sized = functional.resize(image, [preprocessing.resize], how)  # typed for tensors only
    cropped = functional.center_crop(sized, [preprocessing.crop])
    pixels = functional.convert_image_dtype(functional.pil_to_tensor(cropped))
    normalized: Tensor = functional.normalize(pixels, list(preprocessing.mean), list(preprocessing.std))
    return normalized


def read_images(paths: Sequence[Path], preprocessing: Preprocessing) -> Tensor:
    """Float32 (n, channels, crop, crop) of the files, in their order."""
    import torch

    return torch.stack([read_image(path, preprocessing) for path in paths])


def _eight_bits(image: Image) -> Image:
    """X-rays come with sixteen bits a pixel, which Pillow would clip to white."""
    import numpy as np
    import PIL.Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64) >> 8
    return PIL.Image.fromarray(values.clip(0, 255).astype(np.uint8))


def undecodable(paths: Sequence[Path]) -> frozenset[Path]:
    """Those of the files that can't be decoded to the end; about 1 ms a file, the first time."""
    from concurrent.futures import ThreadPoolExecutor

    memory = cache_folder() / "checked" / f"{fingerprint(paths)}.json"
    try:
        return frozenset(paths[index] for index in json.loads(memory.read_text()))
    except (OSError, ValueError, TypeError, IndexError):
        pass  # not checked before
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as pool:
        fine = list(pool.map(_decodes, paths, chunksize=64))  # Pillow decodes outside the interpreter's lock
    broken = [index for index, good in enumerate(fine) if not good]
    _remember(memory, broken)
    return frozenset(paths[index] for index in broken)


def _decodes(path: Path) -> bool:
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            image.draft("L", (32, 32))  # JPEG: an eighth of the size, but every byte is read
            image.load()
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file makes them
        return False
    return True


def fingerprint(paths: Sequence[Path]) -> str:
    """Changes when a file comes, goes, or is written."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # a dangling link
            continue
        digest.update(f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _remember(memory: Path, broken: list[int]) -> None:
    with suppress(OSError):  # a read-only or full cache: the files are checked again next time
        memory.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(memory, json.dumps(broken))
