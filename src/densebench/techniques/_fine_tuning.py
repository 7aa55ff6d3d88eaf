"""Fine-tuning: a model that was changed learns to answer as it did before, on the training images.

It learns the original's logits, not labels: images of some of the model's classes then don't make it forget the
others, and with few images logits teach more than the classes' probabilities do. A tenth of the training images is
held out, and the epoch that does best on it is kept. The validation images have no say in it: the accuracy that is
reported on them would be too good.
Source: Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014; Hinton et al., "Distilling the Knowledge in
a Neural Network", 2015.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from densebench.errors import Unavailable, UsageError
from densebench.machine.facts import emulated
from densebench.machine.malloc import memory_kept
from densebench.techniques.base import Option
from densebench.workloads.augmentation import bend
from densebench.workloads.schedule import Stage, batches

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from densebench.model.adapter import Served
    from densebench.workloads.base import ImageSet, Workload

SEED = 0
LEARNS = {"fine_tune": True}  # what options of fine-tuning need
# The options of a technique that sets weights to zero and may train the others
FineTune = Annotated[
    bool,
    Option((False, True), (1.0, 30.0)),
    Field(description="train the others on the training images afterwards"),
]
Epochs = Annotated[
    int, Option((8, 4, 16), (1.0, 0.5, 2.0), LEARNS), Field(ge=1, description="of fine-tuning")
]
LearningRate = Annotated[
    float, Option((1e-3, 2e-3), needs=LEARNS), Field(gt=0, description="of AdamW, at its peak")
]
LEAST = 32  # training images, below which nothing can be learnt that holds for others
EPOCH_IMAGES = 1024  # at most; a larger set gives each epoch other images
MOST_HELD_OUT = 1000
# An epoch's seconds for each pixel of the images' side, DenseNet-121 on two cores: six epochs took 20 s at 32 pixels,
# some 60 at 64 and 270 at 224, where most epochs see images of half the size.
EPOCH_S = 0.2
HALVED_FROM = (
    128  # pixels, from which two of three epochs see images of half the size, at a quarter of the time
)


def typical_s(image_size: int, *, fine_tune: bool, epochs: int, **options: object) -> float:  # noqa: ARG001
    """What a technique with these options takes to fine-tune, for estimates only."""
    return epochs * EPOCH_S * image_size if fine_tune else 0.0


def training_images(workload: Workload | None) -> ImageSet:
    """The images to learn from.

    Raises:
        Unavailable: there are none, or too few.

    """
    images = workload.data.training if workload else None
    if images is None or len(images) < LEAST:
        found = f"there are {len(images)}" if images else "there are none"
        raise Unavailable(
            f"fine-tuning needs at least {LEAST} training images and {found}: use --data digits, imagenette or "
            "a folder of images, or the option fine_tune=false"
        )
    return images


def imitate(
    changed: Served,
    original: nn.Module,
    workload: Workload | None,
    *,
    epochs: int,
    learning_rate: float,
    after_step: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = print,
    seed: int = SEED,
) -> None:
    """Train the changed model, in place, to answer as the original does; the same seed gives the same weights.

    Args:
        changed: an FP32 model; its layers and their shapes stay as they are.
        original: what it was before.
        workload: whose training images are bent a little and shown to both.
        epochs: passes over the training images, or over EPOCH_IMAGES of them where there are more.
        learning_rate: of AdamW, at its peak: it rises over a tenth of the steps and falls to nothing.
        after_step: called after every change of the weights, to put back what must not change.
        progress: told after every epoch how it went.
        seed: of the images' order and bending.

    Raises:
        Unavailable: there are no training images, or too few.

    """
    import torch

    images, core = training_images(workload), changed.core
    assert workload is not None, "or there would be no images"
    device = next(core.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator).tolist()
    held_out = order[: min(len(order) // 10, MOST_HELD_OUT)]
    stages = _stages(workload, epochs, len(order) - len(held_out))
    steps, total = batches(stages, order[len(held_out) :], generator), sum(stage.steps for stage in stages)
    teacher = copy.deepcopy(original).to(memory_format=torch.channels_last).eval()
    core.to(memory_format=torch.channels_last)
    labels, expected = torch.tensor([images.labels[i] for i in held_out]), _logits(teacher, images, held_out)
    optimizer = torch.optim.AdamW(core.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (total // 10 + 1), (total - step) / total)
    )
    best: tuple[float, float] | None = None
    started, done = time.monotonic(), 0
    with memory_kept(), torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        for epoch, stage in enumerate(stages, start=1):
            core.train()
            for size, positions, _ in islice(steps, stage.steps):
                batch = _seen(images.read(positions).to(device), size, generator)
                _learn(core, teacher, batch, optimizer)
                schedule.step()
                after_step()
            score = _score(_logits(core, images, held_out), labels, expected)
            if best is None or score > best:
                best, kept = score, {key: value.clone() for key, value in core.state_dict().items()}
            done += _cost(stage)
            left = (time.monotonic() - started) * (sum(map(_cost, stages)) - done) / done
            progress(
                f"epoch {epoch} of {epochs} at {stage.sizes[0]} pixels: {score[0]:.1%} of {len(held_out)} held-out "
                f"training images right, {left:.0f} s left"
            )
    core.load_state_dict(kept)
    optimizer.zero_grad(set_to_none=True)
    core.to(memory_format=torch.channels_last if changed.channels_last else torch.contiguous_format).eval()


def _learn(core: nn.Module, teacher: nn.Module, batch: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One step towards the teacher's answers to a batch of images."""
    import torch
    from torch.nn import functional

    with _autocast(batch.device.type):
        with torch.no_grad():
            answers = teacher(batch)
        logits = core(batch)
    loss = functional.mse_loss(logits.float(), answers.float())
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()


def keep_zeros(layers: Iterable[nn.Conv2d | nn.Linear]) -> Callable[[], None]:
    """A function that sets to zero, in these layers' weights, what is zero now."""
    import torch

    zeros = [(layer, layer.weight == 0) for layer in layers]

    def put_back() -> None:
        with torch.no_grad():
            for layer, mask in zeros:
                layer.weight.masked_fill_(mask, 0.0)

    return put_back


def _stages(workload: Workload, epochs: int, count: int) -> list[Stage]:
    """One stage for each epoch: two of three at half the size where the images are large and the model lets us."""
    from densebench.workloads.models import check_model

    size = half = workload.image_size
    if size >= HALVED_FROM:
        with suppress(UsageError):  # the model takes one size only, or none so small: full size it is
            check_model(workload.model_name, size // 2)
            half = size // 2
    stages = []
    for epoch in range(epochs):
        pixels = size if epoch >= epochs - max(1, epochs // 3) else half
        batch = max(16, min(32, 4096 // pixels))
        stages.append(Stage((pixels,), batch, max(1, min(count, EPOCH_IMAGES) // batch)))
    return stages


def _cost(stage: Stage) -> int:
    """Pixels that a stage works on."""
    return stage.sizes[0] ** 2 * stage.batch_size * stage.steps


def _seen(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """The images bent a little, at `size` pixels, in NHWC."""
    import torch
    from torch.nn import functional

    if images.shape[-1] != size:
        images = functional.interpolate(
            images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
        )
    return bend(images, size, generator).contiguous(memory_format=torch.channels_last)


def _autocast(device: str) -> torch.autocast:
    """BF16 where the processor computes in it."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=emulated("bfloat16", device) is None)


def _logits(model: nn.Module, images: ImageSet, positions: list[int]) -> Tensor:
    """The model's answers (n, classes) to these images as they are, on the CPU."""
    import torch

    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), _autocast(device.type):
        parts = [images.read(positions[start : start + 64]) for start in range(0, len(positions), 64)]
        batches = (part.to(device).contiguous(memory_format=torch.channels_last) for part in parts)
        return torch.cat([model(batch).float().cpu() for batch in batches])


def _score(logits: Tensor, labels: Tensor, answers: Tensor) -> tuple[float, float]:
    """(share of the labels that are met, how near the logits are to the original's): more is better."""
    from torch.nn import functional

    right = float((logits.argmax(dim=1) == labels).float().mean())
    return right, -float(functional.mse_loss(logits, answers))
