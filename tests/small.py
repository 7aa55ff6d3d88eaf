"""A model of a few layers and a workload around it, for tests that need one of each and not a real one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from densebench.workloads.base import Preprocessing, Splits, Weights, Workload

CLASSES = 10
SIZE = 16
NAME = "tiny"
# else Inductor leaves BF16 convolutions to PyTorch's own kernels: nothing is packed, and oneDNN's log knows nothing
ONEDNN_BF16: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Tiny(nn.Module):
    """Two convolutions (one of them grouped), a batch norm, a linear layer: what scripts and compiles fast."""

    def __init__(self, classes: int = CLASSES, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, stride=2, groups=2)
        self.head = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.second(torch.relu(self.norm(self.first(images)))))
        return self.head(features.mean(dim=(2, 3)))


def tiny_model() -> Tiny:
    """The model in eval mode with weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Tiny()
        nn.init.uniform_(model.norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(model.norm.running_var, 0.5, 1.5)
    return model.eval()


def tiny_workload() -> Workload:
    """A workload whose model is `Tiny`; the fixture `tiny` lets the engines construct it by name."""
    look = Preprocessing(SIZE, SIZE, (0.5,) * 3, (0.5,) * 3)
    classes = tuple(f"class {index}" for index in range(CLASSES))
    weights = Weights("tiny", tiny_model().state_dict(), classes, look, "0" * 64)
    nothing = Splits("none", None, None, lambda size: torch.zeros(size, 3, SIZE, SIZE))
    return Workload(NAME, SIZE, weights, nothing, tiny_model)


def images(count: int, size: int = SIZE, seed: int = 7) -> Tensor:
    """Standard normal images."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
