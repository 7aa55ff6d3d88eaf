"""What builds of one sweep share: made by the first of them, counted by each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from densebench.artifacts.load import read_manifest
from densebench.build_cache import SCRATCH
from densebench.engines import _onnx_file
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.recipes.recipe import Recipe
from densebench.worker.build import build_artifact
from densebench.workloads.base import Workload
from tests.small import NAME, SIZE

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")

Build = Callable[[Recipe], float]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sweep's folder of temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv(SCRATCH, str(folder))
    return folder


@pytest.fixture
def build(tiny: Workload, tmp_path: Path) -> Build:
    """Builds a recipe into a folder of its own, and says how long its manifest says that this took."""

    def build(recipe: Recipe) -> float:
        job = messages.Build(
            workload=messages.WorkloadJob(model=NAME, weights="random", data="none", image_size=SIZE, seed=0),
            recipe=recipe.name,
            named={},
            device="cpu",
            batch_sizes=(2,),
            folder=tmp_path / f"artifact{len(list(tmp_path.iterdir()))}",
            threads=1,
        )
        build_artifact(job, recipe, tiny, lambda stage: None)
        return read_manifest(job.folder).facts.build_s

    return build


def seconds_kept(scratch: Path) -> float:
    """What the one thing that was kept says that it took."""
    (file,) = scratch.glob("once-*/seconds.json")
    return float(json.loads(file.read_text()))


def test_a_model_is_exported_once_in_a_sweep(
    build: Build, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second artifact has the first one's graph, and says that it took as long to make."""
    export, exports = _onnx_file.export_onnx, list[Path]()

    def slowly(model: nn.Module, shape: Any, path: Path, **more: Any) -> None:
        exports.append(path)
        time.sleep(0.2)
        export(model, shape, path, **more)

    monkeypatch.setattr(_onnx_file, "export_onnx", slowly)
    build(resolve("onnx", {}))
    took_s = seconds_kept(scratch)
    assert build(resolve("onnx", {})) >= took_s >= 0.2
    assert len(exports) == 1


def test_what_takes_long_is_applied_once_in_a_sweep(build: Build, scratch: Path) -> None:
    """Recipes that begin alike take up the first one's model, and count its seconds."""
    applied = []

    def slowly(model: nn.Module, workload: Workload) -> nn.Module:
        applied.append(workload)
        time.sleep(0.2)
        return step.what.apply(model, workload)

    recipe = resolve("channels_last", {})
    (step,) = recipe.techniques
    slow = replace(
        recipe, techniques=(replace(step, what=replace(step.what, apply=slowly, slow_to_apply=True)),)
    )
    build(slow)
    took_s = seconds_kept(scratch)
    assert build(slow) >= took_s >= 0.2
    assert len(applied) == 1


def test_what_is_quick_is_applied_each_time(build: Build, scratch: Path) -> None:
    """Nothing is kept of it."""
    build(resolve("channels_last", {}))
    assert not list(scratch.iterdir())
