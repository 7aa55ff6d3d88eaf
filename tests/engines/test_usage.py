"""The code in an artifact's README, run in this process; for CUDA with the CPU in the GPU's place."""

from __future__ import annotations

import ast
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as runtime
import pytest
import torch
import torchvision
from onnxruntime.capi.onnxruntime_inference_collection import check_and_normalize_provider_args
from torch import Tensor

from densebench import engines
from densebench.artifacts.manifest import Manifest
from densebench.artifacts.usage_readme import deploy_notes
from densebench.engines import aot_inductor, eager, onnxruntime, tensorrt, torch_compile, torchscript
from densebench.engines.base import Target
from densebench.model.adapter import Served, served
from densebench.model.fidelity import relative_difference
from densebench.workloads.base import Workload
from tests.factory import input_of
from tests.small import Tiny, images, tiny_model

pytest_plugins = ["tests.fixtures"]


def made(name: str) -> Served:
    """The small model, changed as a technique of this name changes it."""
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "bf16": {"dtype": "bfloat16", "channels_last": True},
        "amp": {"autocast": "bfloat16"},
    }
    model = served(tiny_model(), **settings[name])
    model.core.to(model.dtype)
    return model


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """What the code makes of two images, in this folder; torchvision has the small model."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, num_classes: Tiny(num_classes))
    names: dict[str, Any] = {"images": images(2).numpy()}
    exec(code, names)
    assert names["logits"].dtype == "float32"
    return torch.from_numpy(names["logits"])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("engine", [eager, torchscript])
@pytest.mark.parametrize("change", ["plain", "bf16", "amp"])
def test_pytorchs_code_runs(change, engine, device, tiny: Workload, tmp_path, monkeypatch):
    """Images go to the device and logits come back; precision, layout and autocast are those of the artifact."""
    model = made(change)
    details = engine.build(model, tiny, tmp_path, Target("cpu", (2,), 1)).details
    code = engine.ENGINE.usage(details, device)
    assert ('"cuda"' in code) == (".cpu()" in code) == ("allow_tf32 = False" in code) == (device == "cuda")
    logits = run(code.replace('"cuda"', '"cpu"'), tmp_path, monkeypatch)
    with torch.inference_mode():
        assert relative_difference(logits, model(images(2))) < (1e-3 if change == "plain" else 1e-2)
    if engine is eager:
        assert (".to(torch.bfloat16)" in code) == (change == "bf16")
        assert (f'torch.autocast("{device}", torch.bfloat16)' in code) == (change == "amp")


def test_onnx_runtimes_code_names_the_provider(tiny: Workload, tmp_path, monkeypatch):
    """CUDA before the CPU, in FP32 as it was measured, and TensorRT before both where that was built for."""
    model = made("plain")
    details = onnxruntime.build(model, tiny, tmp_path, Target("cpu", (2,), 1)).details
    code = onnxruntime.usage(details, "cpu")
    with torch.inference_mode():
        assert relative_difference(run(code, tmp_path, monkeypatch), model(images(2))) < 1e-3
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})
    for provider, wanted in (("auto", []), ("tensorrt", ["TensorrtExecutionProvider"])):
        given = named(onnxruntime.usage({**details, "provider": provider}, "cuda"))
        assert given == [*wanted, cuda, "CPUExecutionProvider"]
        names = [one if isinstance(one, str) else one[0] for one in given]
        check_and_normalize_provider_args(given, None, names)  # as a session does, where there is a GPU


def named(code: str) -> list[Any]:
    """The providers that the code asks for."""
    [found] = [node.value for node in ast.walk(ast.parse(code)) if getattr(node, "arg", "") == "providers"]
    return ast.literal_eval(found)


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize(("provider", "first"), [("auto", "CUDA"), ("tensorrt", "Tensorrt")])
def test_onnx_runtimes_code_finds_the_gpu_or_stops(provider, first, started, tmp_path, monkeypatch):
    """CUDA's libraries are loaded before the session; one that fell back is an error, and no slow answer."""
    calls: list[Any] = []

    class Session:
        def __init__(self, path: str, options: Any, providers: list[Any]) -> None:
            calls.append(options.intra_op_num_threads)

        def get_providers(self) -> list[str]:
            return [f"{first}ExecutionProvider"] * started + ["CPUExecutionProvider"]

        def run(self, *asked: Any) -> list[np.ndarray]:
            return [np.zeros((2, 10), "float32")]

    monkeypatch.setattr(runtime, "preload_dlls", lambda: calls.append("preload"))
    monkeypatch.setattr(runtime, "InferenceSession", Session)
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))  # whose libraries it needs
    code = onnxruntime.usage({"provider": provider, "threads": 3}, "cuda")
    with nullcontext() if started else pytest.raises(AssertionError, match="fell back"):
        run(code, tmp_path, monkeypatch)
    assert calls == ["preload", 3]


def test_onnx_runtimes_code_has_the_threads_that_were_measured(tiny: Workload, tmp_path):
    """Its own default is every physical core; an older artifact loads, and its code leaves them out."""
    details = onnxruntime.build(made("plain"), tiny, tmp_path, Target("cpu", (2,), 3)).details
    assert "\noptions.intra_op_num_threads = 3\n" in onnxruntime.usage(details, "cpu")
    del details["threads"]
    assert "intra_op" not in onnxruntime.usage(details, "cpu")
    assert onnxruntime.load(tmp_path, details, "cpu")(images(2)).shape == (2, 10)


def test_sparse_layers_are_compressed_as_they_were_measured(tiny: Workload, tmp_path, monkeypatch):
    """With PyTorch's own function, here one that notes its calls: no CPU has the format."""
    details = eager.build(made("plain"), tiny, tmp_path, Target("cpu", (2,), 1)).details
    calls: list[Tensor] = []
    monkeypatch.setattr(
        torch.sparse, "to_sparse_semi_structured", lambda weight: calls.append(weight) or weight
    )
    code = eager.ENGINE.usage({**details, "semi_sparse": ["head"]}, "cuda")
    run(code.replace('"cuda"', '"cpu"'), tmp_path, monkeypatch)
    assert [tuple(weight.shape) for weight in calls] == [(10, 8)]


@pytest.mark.parametrize("engine", [aot_inductor, torch_compile])
def test_what_takes_long_to_run_is_python_at_least(engine, tiny: Workload, tmp_path):
    """With the images on the GPU; their code for the CPU is run by their own tests."""
    details = {**eager.build(made("bf16"), tiny, tmp_path, Target("cpu", (2,), 1)).details, "freezing": True}
    code = engine.ENGINE.usage({**details, "mode": "default"}, "cuda")
    compile(code, "README.md", "exec")
    assert 'torch.from_numpy(images).to("cuda")' in code
    assert ".cpu().numpy()" in code


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "images (n, 3, 16, 24), any n:"),
        ({"largest_batch": 65_535}, "images (n, 3, 16, 24), n up to 65,535:"),
        ({"shape": (4, 3, 16, 24)}, "images (4, 3, 16, 24):"),
    ],
)
def test_the_batch_is_told(changes, said):
    """Fixed, up to a largest, or any; and the code is for the device that the artifact was built for."""
    facts: dict[str, Any] = {
        "recipe": "trt",
        "steps": "tensorrt",
        "engine": "tensorrt",
        "model": "tiny",
        "device": "cuda",
        "details": {"largest_batch": 16, "classes": 2},
        "input": input_of(16, 24) | changes,
        "classes": ("cat", "dog"),
        "host_settings": {"threads": 2},
        "probe": {"seed": 1, "batch_size": 1, "outputs": ((0.1, 0.2),), "tolerance": 1e-4},
        "files": {},
        "contains_code": True,
        "facts": {
            "parameters": 3,
            "macs_g": 0.1,
            "zero_fraction": 0.0,
            "build_s": 1.5,
            "cold_start_s": None,
        },
        "source_weights_sha256": "0" * 64,
        "environment": {"cpu": "some"},
        "created": "2026-01-02T03:04:05+00:00",
    }
    notes = deploy_notes(Manifest.model_validate(facts), tensorrt.ENGINE, ())
    assert said in notes
    assert '.to("cuda")' in notes


def test_every_engine_takes_the_device():
    """One that is added too: its code is asked for with the device that the artifact was built for."""
    for engine in engines.catalogue().values():
        assert engine.usage.__code__.co_argcount == 2, engine.name
