"""What the workload tests share: a cache of their own, and small real checkpoints and image folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision import models

from densebench.workloads.base import Preprocessing, Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the caches of whoever runs it."""
    folder = tmp_path / "caches"
    monkeypatch.setenv("DENSEBENCH_CACHE", str(folder / "densebench"))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return folder


@pytest.fixture(autouse=True)
def own_random_stream() -> Iterator[None]:
    """A test's seed is its own."""
    with torch.random.fork_rng(devices=[]):
        yield


def resnet_state(num_classes: int = 4, channels: int = 3) -> dict[str, Tensor]:
    """A real state dict of ResNet-18, with another stem where the images have one channel."""
    torch.manual_seed(0)
    model = models.resnet18(num_classes=num_classes)
    if channels != 3:
        model.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    state: dict[str, Tensor] = model.state_dict()
    return state


@pytest.fixture(scope="session")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 for four classes, as `torch.save` writes it."""
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.save(resnet_state(), path)
    return path


@pytest.fixture
def some_weights() -> Callable[..., Weights]:
    """Builds weights without tensors: what the data sources look at is classes and preprocessing."""

    def build(classes: Sequence[str] = ("cat", "dog"), channels: int = 3, size: int = 16) -> Weights:
        look = Preprocessing(size + 2, size, (0.5,) * channels, (0.5,) * channels)
        return Weights("some", {}, tuple(classes), look, "0" * 64)

    return build


@pytest.fixture
def draw_folder(tmp_path: Path) -> Callable[..., Path]:
    """Draws a class folder per name with so many small images in it."""

    def draw(names: Sequence[str], each: int, root: str = "images", mode: str = "RGB") -> Path:
        rng = np.random.default_rng(0)
        for name in names:
            folder = tmp_path / root / name
            folder.mkdir(parents=True)
            for number in range(each):
                pixels = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
                PIL.Image.fromarray(pixels).convert(mode).save(folder / f"{number}.jpeg")
        return tmp_path / root

    return draw
