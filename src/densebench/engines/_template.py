"""Copy this file to add an engine: say in one to six lines what it is and what its artifact holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines.base import Built, Details, Engine, Session, Target

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def build(model: nn.Module, workload: Workload, folder: Path, target: Target) -> Built:
    """Write everything that `load` needs into the folder."""
    raise NotImplementedError


def load(folder: Path, details: Details, device: str) -> Session:
    """Read it back in a process that has seen nothing else."""
    raise NotImplementedError


ENGINE = Engine("template", "what it is in one line", build, load)
