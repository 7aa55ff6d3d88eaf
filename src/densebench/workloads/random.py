"""Random weights: right for speed and memory, meaningless for accuracy, and never downloaded."""

from __future__ import annotations

import hashlib

from densebench.workloads.base import Weights
from densebench.workloads.checkpoint_file import default_preprocessing
from densebench.workloads.models import constructor_options, torchvision_models
from densebench.workloads.states import fit_state


def open_random_weights(model_name: str, image_size: int, seed: int, num_classes: int = 1000) -> Weights:
    """The model as its authors initialize it, the same for the same seed.

    The caller's own random stream is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = constructor_options(model_name, initialize=True)
        model = torchvision_models().get_model(model_name, num_classes=num_classes, **options)
    return Weights(
        label="random",
        state=fit_state(model.state_dict(), model_name, "random weights").tensors,
        classes=tuple(str(index) for index in range(num_classes)),
        preprocessing=default_preprocessing(image_size),
        sha256=hashlib.sha256(f"{model_name}:{seed}:{num_classes}".encode()).hexdigest(),
        notes=("random weights: speed and memory are real, accuracy means nothing",),
    )
