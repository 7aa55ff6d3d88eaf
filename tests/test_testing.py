"""The checks for authors of other packages: what keeps its promises passes, each broken promise is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from densebench import engines, techniques, testing
from densebench.engines.base import Built, Details, Target
from densebench.model.adapter import Served, served
from densebench.workloads.base import Workload

pytest_plugins = ["tests.fixtures"]
LAYOUT = techniques.catalogue()["channels_last"]
EAGER = engines.default()


def test_what_keeps_its_promises_passes(tiny: Workload, tmp_path: Path) -> None:
    """A technique and an engine of this package, with options too."""
    testing.check_technique(LAYOUT, tmp_path / "a", tiny)
    testing.check_technique(techniques.catalogue()["pruning"], tmp_path / "b", tiny, amount=0.1)
    testing.check_engine(EAGER, tmp_path / "c", tiny)


def in_place(model: nn.Module, workload: Workload) -> nn.Module:
    """Changes what it was given."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    return served(model)


def in_half(model: nn.Module, workload: Workload) -> nn.Module:
    """Answers in another type."""
    return nn.Sequential(served(model), Halved())


class Halved(nn.Module):
    """A cast."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.half()


def noisy(model: nn.Module, workload: Workload) -> Served:
    """Answers otherwise than the original."""
    changed = served(model)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(1.5)
    return changed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"apply": in_place}, "changes the model that it is given"),
        ({"apply": in_half}, "answers in torch.float16"),
        ({"apply": noisy}, "less than its least_sqnr_db"),
        ({"about": "two\nlines"}, "about is one short line"),
        ({"unavailable": lambda device: ""}, "without a reason"),
    ],
)
def test_a_technique_that_breaks_a_promise_is_told(
    tiny: Workload, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """By which promise it is."""
    with pytest.raises(AssertionError, match=said):
        testing.check_technique(replace(LAYOUT, **changes), tmp_path / "artifact", tiny)


def test_an_engine_that_needs_its_first_folder_is_told(tiny: Workload, tmp_path: Path) -> None:
    """What a deployer gets is a copy."""

    def build(model: nn.Module, workload: Workload, folder: Path, target: Target) -> Built:
        built = EAGER.build(model, workload, folder, target)
        return replace(built, details={**built.details, "where": str(folder)})

    def load(folder: Path, details: Details, device: str) -> Any:
        return EAGER.load(Path(details["where"]), details, device)

    with pytest.raises(FileNotFoundError):
        testing.check_engine(replace(EAGER, build=build, load=load), tmp_path / "artifact", tiny)


def test_an_engine_that_names_a_cache_that_is_not_there_is_told(tiny: Workload, tmp_path: Path) -> None:
    """Its size would be wrong."""

    def build(*given: Any) -> Built:
        return replace(EAGER.build(*given), caches=("cache.bin",))

    with pytest.raises(AssertionError, match=r"names a cache that isn't there: cache\.bin"):
        testing.check_engine(replace(EAGER, build=build), tmp_path / "artifact", tiny)
