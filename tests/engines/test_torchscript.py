"""A program that oneDNN can't run once it is optimized: it runs as it was saved, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from densebench.engines import torchscript
from densebench.engines.base import Target
from densebench.model.adapter import Served, served
from densebench.model.fidelity import relative_difference
from densebench.workloads.base import Workload
from tests.small import SIZE, images

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def pooled(pixels: int) -> Served:
    """A network that pools what is left of an image, 1 or 14 pixels wide, to 7 pixels."""
    torch.manual_seed(0)
    left = nn.MaxPool2d(SIZE - 2) if pixels == 1 else nn.Identity()
    layers = (
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        left,
        nn.AdaptiveAvgPool2d(7),
        nn.Flatten(),
        nn.Linear(8 * 49, 10),
    )
    return served(nn.Sequential(*layers).eval())


@pytest.mark.parametrize("pixels", [1, 14])
def test_what_can_not_be_optimized_runs_as_it_was_saved(pixels: int, tiny: Workload, tmp_path: Path) -> None:
    """As VGG does at small image sizes: its row says why, and its README's code doesn't optimize either."""
    model = pooled(pixels)
    built = torchscript.build(model, tiny, tmp_path, Target("cpu", (2, 4), 1))
    session = torchscript.load(tmp_path, built.details, "cpu")
    with torch.inference_mode():
        for size in (2, 4, 2):
            assert relative_difference(session(images(size)), model(images(size))) < 1e-4
        said = str(session.effect(images(2)))
    why = "not optimized: input size is not divisible by the output size"
    assert (why in said) == (pixels == 1)
    assert ("1 oneDNN" in said) == (pixels == 14)
    assert ("optimize_for_inference" in torchscript.usage(built.details)) == (pixels == 14)


class Branching(nn.Module):
    """A convolution on the branch that is always taken, and a batch norm behind it, as in a layer of DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.saving = False
        self.first = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.saving and images.requires_grad:
            raise RuntimeError
        else:  # noqa: RET506 - TorchScript's graph has the branch that is to be seen through
            features = self.first(images)
        return self.head(torch.relu(self.norm(features)).mean(dim=(2, 3)))


def test_a_batch_norm_behind_a_branch_is_folded(tiny: Workload, tmp_path: Path) -> None:
    """Freezing by itself leaves it, although its convolution comes right before it."""
    torch.manual_seed(0)
    core = Branching().eval()
    nn.init.uniform_(core.norm.running_var, 0.5, 1.5)
    built = torchscript.build(served(core), tiny, tmp_path, Target("cpu", (2,), 1))
    session = torchscript.load(tmp_path, built.details, "cpu")
    with torch.inference_mode():
        assert relative_difference(session(images(2)), core(images(2))) < 1e-5
    assert "0 batch norms left unfolded" in str(session.effect(images(2)))
