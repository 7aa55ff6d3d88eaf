"""L1 unstructured pruning: the smallest weights become zero, chosen over the whole model at once.

A pruned weight is a stored zero: nothing runs faster for it on dense kernels. What it can save is bytes, once
the file keeps a bit mask and the remaining values, as the weights file here does.
Source: Han et al., "Learning both Weights and Connections for Efficient Neural Networks", 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from densebench.schema import Caveat
from densebench.techniques._fine_tuning import Epochs, FineTune, LearningRate, imitate, keep_zeros, typical_s
from densebench.techniques.base import Option, Options, Technique

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def pruning(
    model: nn.Module,
    workload: Workload | None = None,
    *,
    amount: float = 0.3,
    fine_tune: bool = False,
    epochs: int = 8,
    learning_rate: float = 1e-3,
    progress: Callable[[str], None] = print,
) -> nn.Module:
    """Set the share `amount` of all convolution and linear weights to zero, those of least magnitude.

    The zeros are permanent: no mask or original is kept beside them, so the model computes and saves as any
    other does. With `fine_tune` the other weights are then taught, on the workload's training images, to answer
    as before; `epochs` and `learning_rate` are of that.
    """
    from torch import nn
    from torch.nn.utils import prune

    from densebench.model.adapter import served

    changed = served(model)
    layers = [(m, "weight") for m in changed.core.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=amount)
    for module, name in layers:
        prune.remove(module, name)  # type: ignore[no-untyped-call]
        module.weight.data[module.weight == 0] = 0.0  # times its mask, a negative weight became -0.0
    if fine_tune:
        imitate(
            changed,
            served(model).core,
            workload,
            epochs=epochs,
            learning_rate=learning_rate,
            after_step=keep_zeros(module for module, _ in layers),
            progress=progress,
        )
    return changed


class PruningOptions(Options):
    """How much to prune, and whether to train afterwards."""

    amount: Annotated[float, Option((0.3, 0.2, 0.4, 0.5))] = Field(
        0.3, gt=0, lt=1, description="share of the weights that become zero"
    )
    fine_tune: FineTune = False
    epochs: Epochs = 8
    learning_rate: LearningRate = 1e-3


TECHNIQUE = Technique(
    "pruning",
    "L1 unstructured pruning, global over convolutions and linear layers",
    pruning,
    changes="weights",
    options=PruningOptions,
    after={"precision": "pruning compares magnitudes, so it comes before a change of precision"},
    gives=frozenset({"zeros"}),
    typical_s=typical_s,
    least_sqnr_db=6.0,
    caveat=Caveat(
        text="Zeros save bytes in the file, not time: dense kernels multiply by them all the same.",
    ),
)
