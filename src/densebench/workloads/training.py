"""Trains the embedded digits checkpoints again, from nothing.

A network trained on small images reads large ones wrongly: its features have a scale. So there is one
checkpoint for small images and one for large ones. The large one learns what a digit is on small images,
where a step is cheap, and grows with them (progressive resizing). Both are kept in half precision, and their
accuracy is measured after that rounding.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from densebench.errors import UsageError
from densebench.machine.malloc import memory_kept
from densebench.workloads import digits_data
from densebench.workloads.augmentation import distort
from densebench.workloads.checkpoint_writing import describe, halved, write_checkpoint
from densebench.workloads.models import torchvision_models
from densebench.workloads.schedule import Stage, batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

MODEL = "densenet121"
SETTLED_RATE = 2e-4  # learning rate at the start of a settled stage; without fresh statistics 1e-3 diverges


@dataclass(frozen=True)
class Plan:
    """How one checkpoint is trained, and the accuracy (0..1) that it promises per image size (pixels)."""

    stages: tuple[Stage, ...]
    peak_rate: float
    promised: dict[int, float]

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """The sizes that the checkpoint is for: those of its last stage."""
        return tuple(sorted(set(self.stages[-1].sizes)))


PLANS = {
    "digits-small": Plan(
        (Stage((32, 48, 64), 64, 220), Stage((32, 48, 64), 64, 60, settled=True)), 4e-3, {32: 0.97, 64: 0.98}
    ),
    "digits-large": Plan(
        (Stage((64,), 64, 120), Stage((128,), 32, 120), Stage((224,), 16, 200)), 4e-3, {224: 0.98}
    ),
}


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    checkpoint: str
    step: int
    steps: int
    image_size: int
    loss: float
    seconds_left: float

    def __str__(self) -> str:
        return (
            f"{self.checkpoint}: step {self.step} of {self.steps}, {self.image_size} pixels, "
            f"loss {self.loss:.3f}, {self.seconds_left:.0f} s left"
        )


@dataclass(frozen=True)
class Trained:
    """A checkpoint that was written, with its top-1 accuracy (0..1) on the 1,000 held-out digits."""

    path: Path
    accuracy: dict[int, float]
    seconds: float

    def __str__(self) -> str:
        sizes = ", ".join(f"{value:.1%} at {size}" for size, value in self.accuracy.items())
        return f"{self.path.name}: top-1 {sizes} ({self.seconds:.0f} s of training)"


def train(
    out_dir: Path,
    seed: int = 0,
    only: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    plans: dict[str, Plan] | None = None,
    model_name: str = MODEL,
) -> tuple[Trained, ...]:
    """Train the embedded checkpoints and write each as `out_dir/<name>.safetensors`, whole or not at all.

    Args:
        out_dir: made where it is missing.
        seed: of the first weights, the order of the images and their distortion.
        only: the name of one checkpoint, `digits-small` or `digits-large`; all of them when None.
        progress: called after every step.
        plans: other plans than the embedded ones, by checkpoint name.
        model_name: another torchvision classifier.

    Raises:
        UsageError: `only` is not the name of a plan.

    """
    plans = PLANS if plans is None else plans
    if only is not None and only not in plans:
        raise UsageError(f"no embedded checkpoint is called {only!r}: choose from {', '.join(plans)}")
    images, labels = digits_data.load_images()
    names = [only] if only else list(plans)
    trained = []
    for name in names:
        plan, started = plans[name], time.monotonic()
        with memory_kept():
            model = fit(plan, images, labels, model_name, seed=seed, progress=progress, name=name)
        seconds = time.monotonic() - started
        tensors = halved(model.state_dict())
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
        measured = {size: accuracy(model, images, labels, size) for size in plan.promised}
        metadata = describe(
            model_name,
            digits_data.CLASSES,
            plan.image_sizes,
            digits_data.preprocessing(plan.image_sizes[0]),
            seed=str(seed),
            split=digits_data.split(labels).fingerprint,
            accuracy_top1=json.dumps(measured),
            scikit_learn=version("scikit-learn"),
        )
        path = out_dir / f"{name}.safetensors"
        write_checkpoint(path, tensors, metadata)
        trained.append(Trained(path, measured, seconds))
    return tuple(trained)


def fit(
    plan: Plan,
    images: Tensor,
    labels: Sequence[int],
    model_name: str = MODEL,
    *,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    name: str = MODEL,
) -> nn.Module:
    """Train a model from a seeded start and return it in eval mode, float32, NCHW."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model: nn.Module = torchvision_models().get_model(model_name, num_classes=len(digits_data.CLASSES))
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.1  # some models average over many more steps than these
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.peak_rate, weight_decay=0.01)
    steps = list(batches(plan.stages, digits_data.split(labels).training, generator))
    free = sum(not settled for _, _, settled in steps)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.peak_rate, total_steps=free, pct_start=0.2)
    total = sum(size * size * len(positions) for size, positions, _ in steps)
    done, started = 0, time.monotonic()
    for step, (size, positions, settled) in enumerate(steps, start=1):
        if settled:
            _settle(model)
            for group in optimizer.param_groups:
                group["lr"] = SETTLED_RATE * (len(steps) - step + 1) / (len(steps) - free)
        inputs = distort(images[positions], size, generator).contiguous(memory_format=torch.channels_last)
        targets = torch.tensor([labels[p] for p in positions])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = functional.cross_entropy(model(inputs), targets, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        if step < free:
            schedule.step()
        done += size * size * len(positions)
        left = (time.monotonic() - started) * (total - done) / done
        if progress is not None:
            progress(Progress(name, step, len(steps), size, float(loss.detach()), left))
    return model.to(memory_format=torch.contiguous_format).eval()


def _settle(model: nn.Module) -> None:
    """Let batch normalization use the averages that it has, and gather no more."""
    from torch import nn

    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def accuracy(model: nn.Module, images: Tensor, labels: Sequence[int], image_size: int) -> float:
    """Top-1 accuracy (0..1) on the held-out digits, in float32 and eager mode."""
    import torch

    positions, look = digits_data.split(labels).validation, digits_data.preprocessing(image_size)
    right = 0
    with torch.inference_mode():
        for start in range(0, len(positions), 50):
            batch = list(positions[start : start + 50])
            answers = model(digits_data.scale(images[batch], look)).argmax(1)
            right += int((answers == torch.tensor([labels[p] for p in batch])).sum())
    return right / len(positions)
