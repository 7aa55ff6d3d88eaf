"""Writes a checkpoint that `checkpoint_file` reads: half precision, described, and whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.workloads.checkpoint_file import FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from densebench.workloads.base import Preprocessing


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as a file keeps them: floats in half precision, the rest as it is."""
    return {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}


def describe(
    model: str, classes: Sequence[str], image_sizes: Sequence[int], look: Preprocessing, **more: str
) -> dict[str, str]:
    """The metadata of a checkpoint, as safetensors wants it: text only, lists as JSON.

    Args:
        model: the name of the classifier.
        classes: names, in the order of the outputs.
        image_sizes: those trained for (pixels).
        look: whose normalization the weights expect.
        more: anything else worth knowing.

    """
    return {
        "format": FORMAT,
        "model": model,
        "classes": json.dumps(list(classes)),
        "image_sizes": json.dumps(list(image_sizes)),
        "mean": json.dumps(look.mean),
        "std": json.dumps(look.std),
        "torch": version("torch"),
        "torchvision": version("torchvision"),
        **more,
    }


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write `path`, replacing what was there only by the whole new file.

    Raises:
        OSError: no room or no permission; what was there stays.

    """
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save(dict(tensors), metadata))
        Path(temporary).chmod(0o644)  # mkstemp makes it private
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
