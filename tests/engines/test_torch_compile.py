"""`torch.compile` artifacts: their options, and two of them in one process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.config
import torch._inductor.cpu_vec_isa
import torchvision
from torch._dynamo.utils import counters

from densebench.engines import eager, torch_compile
from densebench.engines._inductor import CACHE_VARIABLE, inductor
from densebench.engines._precompiled import precompiled_headers
from densebench.engines.base import Target
from densebench.model.adapter import Served, served
from densebench.model.fidelity import relative_difference
from densebench.workloads.base import Workload
from tests.small import ONEDNN_BF16, Tiny, images, tiny_model

pytest_plugins = ["tests.fixtures"]
TARGET = Target("cpu", (2,), 1)


@pytest.fixture(autouse=True)
def plain_code(monkeypatch):
    """Code without vector instructions compiles faster; what is under test is the same."""
    monkeypatch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
    torch._dynamo.reset()


def build(
    model: Served, tiny: Workload, folder: Path, target: Target = TARGET, **options: Any
) -> dict[str, Any]:
    """The details of an artifact in this folder, as a manifest gives them back."""
    folder.mkdir()
    details = torch_compile.build(model, tiny, folder, target, **options).details
    return json.loads(json.dumps(details))


def test_two_artifacts_in_one_process_keep_apart(tiny, tmp_path, monkeypatch):
    """Each compiles from its own cache and into no other, whichever is open; the process's own stays as it is.

    One of them has a mode, which is the same at build and load: the cache fits.
    """
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(own))
    nchw, nhwc = served(tiny.build_model()), served(tiny.build_model(), channels_last=True)
    details = {
        "a": build(nchw, tiny, tmp_path / "a"),
        "b": build(nhwc, tiny, tmp_path / "b", mode="max-autotune"),
    }
    torch._dynamo.reset()
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, call, *a, **k: pytest.fail(f"ran {call}"))
    first, second = (torch_compile.load(tmp_path / folder, details[folder], "cpu") for folder in ("a", "b"))
    batch = images(2)
    with torch.inference_mode():
        expected = nchw(batch)
        second.close()
        assert relative_difference(first(batch), expected) < 1e-3
        third = torch_compile.load(tmp_path / "b", details["b"], "cpu")
        first.close()
        assert relative_difference(third(batch), expected) < 1e-3
    third.close()
    assert os.environ[CACHE_VARIABLE] == str(own)
    assert list(own.iterdir()) == []
    assert torch._inductor.config.cpp.vec_isa_ok is None


@pytest.mark.parametrize("sizes", [(1, 2), (1, 2, 3)], ids=["fixed", "dynamic"])
def test_a_process_may_begin_with_any_batch_size(
    tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    """It finds each in the cache, though the build compiled them in another order: g++ isn't run again."""
    model = served(tiny.build_model())
    details = build(model, tiny, tmp_path / "artifact", Target("cpu", sizes, 1))
    torch._dynamo.reset()
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, call, *a, **k: pytest.fail(f"ran {call}"))
    session = torch_compile.load(tmp_path / "artifact", details, "cpu")
    with torch.inference_mode():
        for size in reversed(sizes):
            assert relative_difference(session(images(size)), model(images(size))) < 1e-3
    session.close()


def test_freezing_packs_the_weights(tiny, tmp_path, monkeypatch):
    """With layout and precision before it, as in the stack; built and loaded alike, and g++ isn't run again."""
    model = served(tiny_model(), dtype="bfloat16", channels_last=True)
    model.core.to(torch.bfloat16)
    details = build(model, tiny, tmp_path / "frozen", freezing=True, mode="reduce-overhead")
    torch._dynamo.reset()
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, call, *a, **k: pytest.fail(f"ran {call}"))
    session = torch_compile.load(tmp_path / "frozen", details, "cpu")
    with torch.inference_mode():
        assert relative_difference(session(images(2)), model(images(2))) < 3e-2
        said = str(session.effect(images(2))).split("; ")
    session.close()
    assert said[0] == "1 compiled graph, 0 graph breaks"
    packed = "weights of 3 layers packed" if ONEDNN_BF16 else "no layer's weights were packed"
    assert said[1] == f"frozen, {packed}"
    assert "bfloat16 convolutions 2/2" in said
    assert "reduce-overhead is CUDA graphs, which a CPU has none of" in said


def test_its_code_for_a_deployer_has_the_options(tiny, tmp_path):
    """The mode and freezing are in the code that the artifact's README shows."""
    details = {
        "architecture": {"model": "squeezenet1_1", "classes": 10, "channels": 3},
        "weights": "plain",
        "served": served(tiny.build_model()).settings(),
    }
    code = torch_compile.ENGINE.usage({**details, "mode": "max-autotune", "freezing": True, "dynamic": False})
    compile(code, "README.md", "exec")
    assert "torch.compile(model, mode='max-autotune')" in code
    assert "freezing = True" in code


def test_its_code_for_a_deployer_runs(tiny, tmp_path, monkeypatch):
    """It compiles the artifact's weights into the same answers; Inductor's settings are ours again after it."""
    model = served(tiny.build_model())
    saved = eager.build(model, tiny, tmp_path, TARGET).details  # what the code reads: it takes no cache
    code = torch_compile.ENGINE.usage({**saved, "mode": "default", "freezing": True}, "cpu")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, num_classes: Tiny(num_classes))
    names: dict[str, Any] = {"images": images(2).numpy()}
    before = counters["stats"]["unique_graphs"]
    with inductor(str(tmp_path / "cache"), freezing=False), precompiled_headers():
        exec(code, names)
        assert torch._inductor.config.freezing
    assert not torch._inductor.config.freezing
    assert counters["stats"]["unique_graphs"] == before + 1
    with torch.inference_mode():
        assert relative_difference(torch.from_numpy(names["logits"]), model(images(2))) < 1e-3
