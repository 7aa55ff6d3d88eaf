"""Structured pruning: whole channels are removed, so that the layers are smaller and every engine is faster for it.

A channel that goes takes with it the slices of all layers that write or read it; torch-pruning's dependency graph
knows which. What is left are ordinary dense layers, multiples of ROUND_TO wide, as vector units like them.
Source: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from densebench.errors import Unavailable
from densebench.schema import Caveat
from densebench.techniques._fine_tuning import LEARNS, SEED, imitate, training_images
from densebench.techniques._fine_tuning import typical_s as fine_tuning_s
from densebench.techniques.base import Option, Options, Technique

if TYPE_CHECKING:
    from torch import Tensor, nn

    from densebench.workloads.base import Workload

ROUND_TO = 8  # channels
RATIO = 0.265  # takes half of DenseNet-121's multiplications
STEPS, EPOCHS, LEARNING_RATE = 1, 6, 2e-3


def structured_pruning(
    model: nn.Module,
    workload: Workload | None = None,
    *,
    ratio: float = RATIO,
    steps: int = STEPS,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    fine_tune: bool = True,
    progress: Callable[[str], None] = print,
    seed: int = SEED,
) -> nn.Module:
    """Remove the share `ratio` of the channels, those of least weight, then teach the rest to answer as before.

    Args:
        model: with convolutions, batch norms and linear layers as its only weights.
        workload: whose training images it is fine-tuned on.
        ratio: share of all channels, but those of images and classes; rounding takes some more.
        steps: times that channels are removed, each but the last followed by one epoch of fine-tuning.
        epochs: of fine-tuning after the last.
        learning_rate: of AdamW at its peak.
        fine_tune: without it the accuracy is mostly lost, and no images are needed.
        progress: told how the fine-tuning goes.
        seed: of the fine-tuning.

    Raises:
        Unavailable: no training images, or a model that channels can't be removed from.

    """
    from densebench.model.adapter import Served, served

    changed = served(model)
    if fine_tune:
        training_images(workload)  # says at once what is missing
    _check_layers(changed.core)
    original = copy.deepcopy(changed.core)
    images = _example(changed.core, workload)
    narrow = Served(copy.deepcopy(original).requires_grad_(requires_grad=True), **changed.settings())
    with _said_plainly():
        remover = _remover(narrow.core, images, ratio, steps)
    for step in range(1, steps + 1):
        with _said_plainly():
            remover.step()
        _adopt(copy.deepcopy(original), narrow.core, images)
        if fine_tune:
            progress(f"channels removed, step {step} of {steps}")
            imitate(
                narrow,
                original,
                workload,
                epochs=epochs if step == steps else 1,
                learning_rate=learning_rate,
                progress=progress,
                seed=seed,
            )
    _adopt(changed.core, narrow.core, images)
    return changed


def _check_layers(core: nn.Module) -> None:
    """Refuse what `channels.fit_channels` could not make again."""
    from torch import nn

    for module in core.modules():
        if not isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            for name, _ in module.named_parameters(recurse=False):
                raise Unavailable(
                    f"channels can be removed from convolutions, batch norms and linear layers only: this model has "
                    f"'{name}' in a {type(module).__name__}"
                )


def _example(core: nn.Module, workload: Workload | None) -> Tensor:
    """One image (1, c, h, w) of noise that the model can take."""
    import torch
    from torch import nn

    stem = next(module for module in core.modules() if isinstance(module, nn.Conv2d))
    shape = workload.input_shape if workload else (stem.in_channels, 224, 224)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, *shape, generator=generator).to(next(core.parameters()).device)


class _Remover(Protocol):
    def step(self) -> object:
        """Remove the next share of the channels."""


def _remover(core: nn.Module, images: Tensor, ratio: float, steps: int) -> _Remover:
    """What removes channels; they are ranked over the whole model, the classes left out."""
    import torch_pruning
    from torch import nn

    classifier = [module for module in core.modules() if isinstance(module, nn.Conv2d | nn.Linear)][-1]
    remover: _Remover = torch_pruning.BasePruner(
        core,
        images,
        torch_pruning.importance.GroupMagnitudeImportance(),
        global_pruning=True,
        pruning_ratio=ratio,
        iterative_steps=steps,
        round_to=ROUND_TO,
        ignored_layers=[classifier],
        in_channel_groups={},  # its defaults are shared by all calls, and written to
        out_channel_groups={},
        num_heads={},
    )
    return remover


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Models whose channels the dependency graph can't follow end in errors of any kind, deep inside it."""
    try:
        yield
    except Exception as error:
        raise Unavailable(
            f"torch_pruning can't follow this model's channels ({type(error).__name__}: {error})"
        ) from error


def _adopt(core: nn.Module, narrow: nn.Module, images: Tensor) -> None:
    """Give a model as constructed the narrow one's channels and weights, as a process that loads them will.

    Raises:
        Unavailable: it then doesn't answer as the narrow one does.

    """
    import torch

    from densebench.model.pruned_shapes import fit_channels

    state = narrow.state_dict()
    fit_channels(core, state)
    core.load_state_dict(state, assign=True)
    core.eval()
    try:
        with torch.inference_mode():
            same = torch.allclose(core(images), narrow.eval()(images), rtol=1e-4, atol=1e-5)
    except RuntimeError as error:
        raise Unavailable(f"this model's code expects the channels it was written with: {error}") from error
    if not same:
        raise Unavailable("this model's channels can't be put together again from its weights alone")


def typical_s(image_size: int, *, steps: int, epochs: int, fine_tune: bool, **options: object) -> float:  # noqa: ARG001
    """Fine-tuning, an epoch of it between two steps; removing channels itself takes a second or two."""
    return 2.0 * steps + fine_tuning_s(image_size, fine_tune=fine_tune, epochs=steps - 1 + epochs)


def unavailable(device: str) -> str | None:  # noqa: ARG001
    """It needs a library that is not in the core."""
    return None if find_spec("torch_pruning") else 'pip install "densebench[structured]"'


class StructuredPruningOptions(Options):
    """How much to remove, and how long to learn afterwards."""

    ratio: Annotated[float, Option((RATIO, 0.4, 0.5, 0.2))] = Field(
        RATIO, gt=0, lt=1, description="share of the channels to remove"
    )
    fine_tune: Annotated[bool, Option((True, False), (1.0, 0.1))] = Field(
        default=True, description="whether to fine-tune at all"
    )
    steps: Annotated[int, Option((STEPS, 2, 4), (1.0, 1.2, 1.5), LEARNS)] = Field(
        STEPS, ge=1, le=20, description="times that channels are removed, with training between"
    )
    epochs: Annotated[int, Option((EPOCHS, 12, 3), (1.0, 2.0, 0.5), LEARNS)] = Field(
        EPOCHS, ge=1, description="of fine-tuning after the last of them"
    )
    learning_rate: Annotated[float, Option((LEARNING_RATE, 1e-3, 4e-3), needs=LEARNS)] = Field(
        LEARNING_RATE, gt=0, description="of AdamW, at its peak"
    )


TECHNIQUE = Technique(
    "structured_pruning",
    "whole channels removed, then fine-tuned on the training images",
    structured_pruning,
    changes="weights",
    options=StructuredPruningOptions,
    after={"precision": "it is fine-tuned in FP32, so it comes before a change of precision"},
    least_sqnr_db=5.0,
    slow_to_apply=True,
    typical_s=typical_s,
    unavailable=unavailable,
    caveat=Caveat(
        text="It was fine-tuned for some epochs on the training images only, to answer as the original did: "
        "validate it on images like those that it will see.",
    ),
)
