"""Stacks that no sweep runs: a technique's model goes through an engine that compiles, and comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch._inductor.cpu_vec_isa
from torch import nn

from densebench.artifacts.load import open_artifact
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.worker.build import build_artifact
from densebench.workloads.base import ImageSet, Workload
from tests.small import CLASSES, NAME, ONEDNN_BF16, SIZE, images

pytestmark = pytest.mark.usefixtures("own_key")
pytest_plugins = ["tests.fixtures"]
CALIBRATION = 16  # images


@pytest.fixture(autouse=True)
def plain_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code without vector instructions compiles faster; what is under test is the same."""
    monkeypatch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
    torch._dynamo.reset()


def quantizable(tiny: Workload) -> Workload:
    """Two convolutions that INT8 kernels take, and images to calibrate them on."""

    def build_model() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            layers = (nn.Conv2d(3, 32, 3, stride=2), nn.ReLU(), nn.Conv2d(32, CLASSES, 1), nn.ReLU())
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()

    several = images(CALIBRATION, seed=1)
    found = ImageSet((0,) * CALIBRATION, lambda positions: several[list(positions)])
    return replace(tiny, data=replace(tiny.data, calibration=found), build_model=build_model)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dynamic_quantization+aot_inductor", "ahead-of-time package: float32 convolutions 2/2"),
        ("dynamic_quantization+compile", "1 compiled graph, 0 graph breaks"),
        (
            "amp+aot_inductor",
            "ahead-of-time package: "
            + ("bfloat16 convolutions 2/2" if ONEDNN_BF16 else "2 convolutions not run by oneDNN"),
        ),
        ("channels_last+aot_inductor:precision=int8", "ahead-of-time package: int8 convolutions 2/2"),
        ("pruning+aot_inductor:precision=int8", "ahead-of-time package: int8 convolutions 2/2"),
    ],
)
def test_what_was_built_answers_as_its_probe(line: str, said: str, tiny: Workload, tmp_path: Path) -> None:
    """Built as a sweep's child builds it, read back and loaded as a deployer does: the answers and the effect."""
    recipe = resolve(line, {})
    if reason := recipe.unavailable("cpu"):
        pytest.skip(reason)
    job = messages.Build(
        workload=messages.WorkloadJob(model=NAME, weights="random", data="none", image_size=SIZE, seed=0),
        recipe=recipe.name,
        named={},
        device="cpu",
        batch_sizes=(2,),
        folder=tmp_path / "made",
        threads=1,
    )
    workload = quantizable(tiny) if recipe.precision("cpu") == "int8" else tiny
    build_artifact(job, recipe, workload, lambda stage: None)
    torch._dynamo.reset()
    with open_artifact(job.folder) as artifact:
        assert artifact.manifest.steps == line
        assert str(artifact.session.effect(artifact.check_probe())).startswith(said)
