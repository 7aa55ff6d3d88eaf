"""Copy this file to add a technique: say in one to six lines what it does and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from densebench.techniques.base import Options, Technique

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def scale(model: nn.Module, workload: Workload | None = None, *, factor: float = 1.0) -> nn.Module:  # noqa: ARG001
    """Say what changes in the model; import what is heavy in here; leave the model given as it is."""
    import torch

    from densebench.model.adapter import served

    changed = served(model)
    with torch.no_grad():
        for parameter in changed.core.parameters():
            parameter.mul_(factor)
    return changed


class ScaleOptions(Options):
    factor: float = Field(1.0, gt=0, description="what each weight is multiplied by")


TECHNIQUE = Technique("scale", "multiply every weight", scale, changes="weights", options=ScaleOptions)
