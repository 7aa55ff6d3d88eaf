"""Accuracy on labelled images, and agreement with the baseline on the same images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from densebench.model.fidelity import sqnr_db

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Session
    from densebench.workloads.base import ImageSet

FIRST_BATCHES = 3  # these may still compile, so they predict nothing unless the last two took as long
AS_LONG = 0.1  # of the one before
LEAST_BATCHES = FIRST_BATCHES + 1  # of a subset: fewer would not predict a slower recipe's time
SUBSET_TIME = 0.5  # of the time limit: a recipe at half of the baseline's speed can still see the same images
SQNR_IMAGES = 512  # logits kept of the baseline: enough for a mean, small for 1,000 classes


@dataclass(frozen=True)
class Outputs:
    """What a model said of the validation images: top class of each (n,), logits of the first 512."""

    top1: Tensor
    logits: Tensor

    def write(self, path: Path) -> None:
        """Keep them for the recipes that are compared with this one."""
        from safetensors.torch import save_file

        part = path.with_name(f".{path.name}.part")
        save_file({"top1": self.top1, "logits": self.logits}, part)
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Outputs:
        from safetensors.torch import load_file

        tensors = load_file(path)
        return cls(tensors["top1"], tensors["logits"])


@dataclass(frozen=True)
class Accuracy:
    """Percentages over the images that were seen, and image by image which ones were right."""

    top1: float
    top5: float
    correct: str
    outputs: Outputs


def subset(images: ImageSet, count: int, seed: int) -> ImageSet:
    """`count` of the images in their order, or all where there are no more. Seed and count alone say which ones."""
    import torch

    if count >= len(images):
        return images
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    return images.subset(sorted(drawn.tolist()))


def fitting(count: int, batch_size: int, predicted_s: float, limit_s: float) -> int:
    """How many images to take where `accuracy` predicts that `count` of them take too long; whole batches."""
    predicted_batches = -(-count // batch_size) - FIRST_BATCHES
    batches = int(SUBSET_TIME * limit_s * predicted_batches / predicted_s)
    return batch_size * max(LEAST_BATCHES, batches)


def accuracy(
    session: Session, images: ImageSet, device: str, batch_size: int, limit_s: float
) -> Accuracy | float:
    """Run every image once. Where the first batches predict more than `limit_s`, return that prediction instead.

    The last batch is filled up with repeated images, so that the session sees one batch size only.
    """
    import torch

    taken_s: list[float] = []
    began = time.perf_counter()
    hits1: list[Tensor] = []
    hits5: list[Tensor] = []
    guesses: list[Tensor] = []
    logits: list[Tensor] = []
    for index, (batch, labels) in enumerate(images.batches(batch_size)):
        count = len(labels)
        filled = batch if count == batch_size else batch[torch.arange(batch_size) % count]
        with torch.inference_mode():
            output = session(filled.to(device))[:count].cpu()
        top5 = output.topk(min(5, output.shape[1]), dim=1).indices
        hits1.append(top5[:, 0] == labels)
        hits5.append((top5 == labels[:, None]).any(dim=1))
        guesses.append(top5[:, 0])
        if index * batch_size < SQNR_IMAGES:
            logits.append(output)
        began, ended = time.perf_counter(), began
        taken_s.append(began - ended)
        predicted_s = _steady_s(taken_s) * (-(-len(images) // batch_size) - FIRST_BATCHES)
        if predicted_s > limit_s:
            return predicted_s
    correct = torch.cat(hits1)
    return Accuracy(
        top1=100 * float(correct.double().mean()),
        top5=100 * float(torch.cat(hits5).double().mean()),
        correct="".join("1" if hit else "0" for hit in correct.tolist()),
        outputs=Outputs(torch.cat(guesses), torch.cat(logits)[:SQNR_IMAGES].clone()),
    )


def _steady_s(taken_s: list[float]) -> float:
    """Seconds of a batch after the first ones; 0 where these tell nothing yet."""
    if len(taken_s) > FIRST_BATCHES:
        return fmean(taken_s[FIRST_BATCHES:])
    *_, before, last = 0.0, 0.0, *taken_s
    return last if abs(last - before) <= AS_LONG * before else 0.0


def agreement(found: Outputs, reference: Outputs) -> tuple[float, float | None]:
    """The share of images with the same top class, and the SQNR of the logits in dB."""
    same = float((found.top1 == reference.top1).double().mean())
    return same, sqnr_db(found.logits, reference.logits)
