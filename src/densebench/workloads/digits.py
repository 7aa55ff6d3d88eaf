"""The weights that come with densebench: DenseNet-121 trained on handwritten digits.

With them a run has true accuracy on a machine without a network. There is a checkpoint for small and one for
large images, because a network's features have a scale; the one trained nearest the requested size is taken.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.errors import InputError, UsageError
from densebench.workloads.checkpoint_file import described_weights, read_tensors

if TYPE_CHECKING:
    from densebench.workloads.base import Weights

MODEL = "densenet121"
CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"


def open_digits_weights(model_name: str, image_size: int, folder: Path = CHECKPOINTS) -> Weights:
    """The embedded checkpoint whose trained size is nearest to `image_size` (pixels), by their ratio.

    Raises:
        UsageError: the model is another one than the embedded.
        InputError: the installation lacks the checkpoints, or they are damaged.

    """
    if model_name != MODEL:
        raise UsageError(
            f"the embedded digits weights are for {MODEL}, not {model_name}: use --weights imagenet, random "
            f"or a file, or --model {MODEL}"
        )
    path = _nearest(image_size, folder)
    return described_weights(path, model_name, image_size, read_tensors(path), label="digits")


def _nearest(image_size: int, folder: Path) -> Path:
    from safetensors import SafetensorError, safe_open

    def distance(path: Path) -> float:
        try:
            with safe_open(path, framework="pt") as file:
                sizes = json.loads(file.metadata()["image_sizes"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is damaged: install densebench again or run densebench train"
            ) from error
        return min(abs(math.log(image_size / size)) for size in sizes)

    found = sorted(folder.glob("digits*.safetensors"))
    if not found:
        raise InputError(f"no digits checkpoint is in {folder}: run densebench train")
    return min(found, key=distance)
