"""Fixtures of the core's tests: a test module takes them with `pytest_plugins = ["tests.fixtures"]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from densebench.artifacts.signing import KEY_VARIABLE
from densebench.workloads import models
from densebench.workloads.base import Workload
from tests.small import NAME, Tiny, tiny_workload


@pytest.fixture
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The signing key of this test alone: none is made, or used, of whoever runs it."""
    path = tmp_path / "key of the test" / "signing.key"
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    return path


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Workload:
    """A workload around a model of four layers, which the engines can construct by its name."""
    construct = models.construct

    def construct_tiny(name: str, classes: int, channels: int) -> Any:
        if name != NAME:
            return construct(name, classes, channels)
        with torch.device("meta"):
            model: nn.Module = Tiny(classes, channels)
        return model.eval()

    monkeypatch.setattr(models, "construct", construct_tiny)
    return tiny_workload()
