"""A small network on the digits, for tests of techniques that train."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from densebench.workloads import digits_data
from densebench.workloads.base import Weights, Workload

SIZE = 16
NAME = "small"


class Small(nn.Module):
    """Three convolutions with batch norms, the last two added to each other, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.second, self.norm2 = nn.Conv2d(32, 48, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(48)
        self.third, self.norm3 = nn.Conv2d(48, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48)
        self.head = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm1(self.first(images)))
        features = torch.relu(self.norm2(self.second(features)))
        features = features + torch.relu(self.norm3(self.third(features)))
        return self.head(features.mean(dim=(2, 3)))


def small_workload() -> Workload:
    """The network as a seed gives it, its batch norms at the averages of the digits, and the digits."""
    look = digits_data.preprocessing(SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Small()
    nn.init.normal_(
        model.head.weight, generator=torch.Generator().manual_seed(1)
    )  # so that its answers differ
    data = digits_data.open_digits(Weights("small", {}, digits_data.CLASSES, look, "0" * 64))
    assert data.training is not None
    update_bn([data.training.read(range(256))], model)
    weights = Weights("small", model.state_dict(), digits_data.CLASSES, look, "0" * 64)
    return Workload(NAME, SIZE, weights, data, lambda: copy.deepcopy(model).eval())


def weights_of(module: nn.Module) -> Tensor:
    """All weights of convolutions and linear layers, in one row."""
    found = [m.weight.detach().flatten() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return torch.cat(found)
