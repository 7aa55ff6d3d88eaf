"""Effects are evidence: what a loaded artifact really runs and holds, whatever the recipe claims."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch._inductor.cpu_vec_isa
from torch import nn

from densebench import engines, techniques
from densebench.artifacts.load import open_artifact, read_manifest
from densebench.artifacts.manifest import Manifest
from densebench.engines import _ran, aot_inductor, onnxruntime, openvino, torchscript
from densebench.engines.base import Target
from densebench.model.adapter import Served, served
from densebench.model.pruned_shapes import channels_removed
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.recipes.recipe import Recipe, Step
from densebench.schema import Effect
from densebench.techniques.base import unchanged
from densebench.worker.build import build_artifact
from densebench.workloads.base import Workload
from tests.small import ONEDNN_BF16, SIZE, images, tiny_model, tiny_workload

pytestmark = pytest.mark.usefixtures("own_key")
pytest_plugins = ["tests.fixtures"]


@pytest.fixture(autouse=True)
def plain_code(monkeypatch):
    """Code without vector instructions compiles faster."""
    monkeypatch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
    torch._dynamo.reset()


def built(recipe: Recipe, tiny: Workload, folder: Path) -> Manifest:
    """The recipe's artifact, made as a sweep's child makes it."""
    job = messages.Build(
        workload=messages.WorkloadJob(model="tiny", weights="random", data="none", image_size=SIZE, seed=0),
        recipe=recipe.name,
        named={},
        device="cpu",
        batch_sizes=(2,),
        folder=folder,
        threads=1,
    )
    build_artifact(job, recipe, tiny, lambda stage: None)
    return read_manifest(folder)


def effect(folder: Path) -> Effect:
    """What the artifact, loaded as a deployer does, is seen to do."""
    with open_artifact(folder) as artifact:
        return artifact.session.effect(images(2))


def idle(line: str) -> Recipe:
    """The recipe with its techniques for precision planted: they claim what they do and leave the model as it is."""
    recipe = resolve(line, {})
    steps = [
        Step(replace(step.what, apply=unchanged), step.options) if step.what.changes == "precision" else step
        for step in recipe.techniques
    ]
    return replace(recipe, techniques=tuple(steps))


@pytest.mark.parametrize(
    "line", ["bf16+jit", "quantize+jit", "amp+jit", "bf16+compile", "channels_last+bf16"]
)
def test_a_claim_without_a_deed_is_found_out(line, tiny, tmp_path):
    """Though the engine has an effect of its own, or another technique has one."""
    recipe = idle(line)
    manifest = built(recipe, tiny, tmp_path / "made")
    claimed = recipe.precision("cpu")
    assert manifest.details["claims"] == {"precision": claimed, "layers": 3, "channels": 26}
    found = effect(tmp_path / "made")
    assert found.none_because == f"no convolution runs in {claimed} (seen: float32 convolutions 2/2)"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bf16+jit", "; bfloat16 convolutions 2/2"),
        ("amp+jit", "; bfloat16 convolutions 2/2"),
        ("quantize+jit", "; float16 convolutions 2/2"),
        (
            "amp+compile",
            "1 compiled graph, 0 graph breaks; not frozen; bfloat16 convolutions 2/2"
            + "; NHWC convolutions 2/2" * ONEDNN_BF16,
        ),
        ("compile", "1 compiled graph, 0 graph breaks; not frozen; NHWC convolutions 2/2"),
    ],
)
def test_what_really_ran_is_told(line, said, tiny, tmp_path):
    """FP16 too, which no oneDNN kernel takes on most processors; Inductor lays out for NHWC by itself."""
    built(resolve(line, {}), tiny, tmp_path / "made")
    found = effect(tmp_path / "made")
    assert said in str(found)  # layouts may follow, where oneDNN chose NHWC
    assert not found.none_because


def test_it_is_the_compiled_code_that_is_watched(tiny, tmp_path, monkeypatch):
    """A module that would run in BF16 without the compiler, compiled to something that doesn't, is found out."""
    manifest = built(resolve("bf16+compile", {}), tiny, tmp_path / "made")
    session = engines.catalogue()["compile"].load(tmp_path / "made", manifest.details, "cpu")
    plain = served(tiny_model())
    with torch.inference_mode():
        session(images(2))
    monkeypatch.setattr(session, "compiled", torch.compile(plain))
    session._compiled_for.clear()
    assert str(session.effect(images(2))).startswith("none: no convolution runs in bfloat16")
    session.close()


def test_a_package_that_does_not_do_what_is_claimed(tmp_path):
    """An ahead-of-time package of an FP32 model, in an artifact that says BF16."""
    made = aot_inductor.build(served(tiny_model()), tiny_workload(), tmp_path, Target("cpu", (2,), 1))
    details = {**made.details, "claims": {"precision": "bfloat16", "channels": 26}}
    assert str(aot_inductor.load(tmp_path, details, "cpu").effect(images(2))) == (
        "none: no convolution runs in bfloat16 (seen: float32 convolutions 2/2)"
    )


def test_on_a_gpu_the_dispatcher_is_watched(tmp_path, monkeypatch):
    """Here with the profiler's account planted; where it sees nothing, in a CUDA graph, nothing is claimed."""
    seen: Counter[str] = Counter()
    monkeypatch.setattr(_ran, "_handed_on", lambda run: seen)
    package = aot_inductor.PackagedSession.__new__(aot_inductor.PackagedSession)
    package.claimed, package.convolutions = "bfloat16", 2
    package.details = {}
    on_gpu = SimpleNamespace(device=torch.device("cuda"), is_cuda=True)
    assert str(package.effect(on_gpu)).endswith("isn't observed on a GPU")
    seen["float32"] = 2
    assert str(package.effect(on_gpu)).startswith("none: no convolution runs in bfloat16")
    seen.update({"bfloat16": 1})
    assert str(package.effect(on_gpu)) == (
        "ahead-of-time package: float32 convolutions 2/2, bfloat16 convolutions 1/2"
    )


def test_a_frozen_program_tells_its_layout(tmp_path, monkeypatch):
    """Here with an account of it planted: which layout oneDNN takes is its own choice."""
    torchscript.build(served(tiny_model()), tiny_workload(), tmp_path, Target("cpu", (2,), 1))
    session = torchscript.load(tmp_path, {}, "cpu")
    seen = _ran.Ran(Counter({"float32": 2}), Counter({"NHWC": 1, "other": 1}))
    monkeypatch.setattr(_ran, "convolutions", lambda run, device: seen)
    assert str(session.effect(images(2))).endswith("; NHWC convolutions 1/2")


def executed(precision: str, layout: str) -> str:
    """A convolution in oneDNN's log."""
    return (
        "onednn_verbose,v1,primitive,exec,cpu,convolution,brgconv:avx512_core,forward_inference,"
        f"src:{precision}::blocked:{layout}::f0 wei:f32::blocked:Acdb16a::f0 dst:f32::blocked:acdb::f0,,"
        "alg:convolution_direct,mb2_ic8oc8_ih16oh8kh3sh2dh0ph0_iw16ow8kw3sw2dw0pw0,0.05\n"
    )


def test_a_package_tells_its_layout_and_how_much_is_int8(monkeypatch):
    """The share is the quantized layers', where as many as those were seen to run in INT8; else none is told."""
    log = executed("u8", "acdb") + executed("f32", "aBcd16b")
    monkeypatch.setattr(aot_inductor, "log_of", lambda run: log)
    package = aot_inductor.PackagedSession.__new__(aot_inductor.PackagedSession)
    package.precision = package.claimed = "int8"
    package.convolutions = 2
    counts = "ahead-of-time package: int8 convolutions 1/2, float32 convolutions 1/2"
    package.details = {"quantized": {"convolutions": 1, "linears": 0, "macs_share": 0.25}}
    assert str(package.effect(images(2))) == f"{counts}, 25 % of the MACs; NHWC convolutions 1/2"
    package.details["quantized"]["convolutions"] = 2
    assert str(package.effect(images(2))) == f"{counts}; NHWC convolutions 1/2"


def test_in_cuda_graphs_the_module_speaks_for_itself(tiny, tmp_path, monkeypatch):
    """And is said to; its layout too, which isn't seen on a GPU."""
    manifest = built(resolve("channels_last+bf16+compile", {}), tiny, tmp_path / "made")
    session = engines.catalogue()["compile"].load(tmp_path / "made", manifest.details, "cpu")
    session.module.device_type = "cuda"
    for seen, said in (
        ({}, ["uncompiled: bfloat16 convolutions 2/2", "uncompiled: NHWC convolutions 2/2"]),
        ({"bfloat16": 2}, ["bfloat16 convolutions 2/2", "uncompiled: NHWC convolutions 2/2"]),
    ):
        monkeypatch.setattr(
            _ran, "convolutions", lambda run, device, seen=seen: _ran.Ran(Counter(seen), None)
        )
        assert session._inside(images(2)) == (None, said)
    session.close()


def pruned() -> Served:
    """The small model with one convolution's weights at zero."""
    model = served(tiny_model())
    nn.init.zeros_(model.core.second.weight)
    return model


@pytest.mark.parametrize("engine", [aot_inductor, torchscript, onnxruntime, openvino])
@pytest.mark.parametrize(("layers", "constructed"), [(3, 26), (3, 30), (4, 30)])
def test_pruning_is_seen_in_the_saved_graph(engine, layers, constructed, tmp_path):
    """Zeros are counted in the file's weights; missing channels are those that its layers, all there, don't have."""
    model = pruned()
    assert channels_removed(model.core) == (0, 26)
    made = engine.build(model, tiny_workload(), tmp_path, Target("cpu", (2,), 1))
    claims = {"precision": "float32", "layers": layers, "channels": constructed}
    session = engine.load(tmp_path, {**made.details, "claims": claims}, "cpu")
    said = str(session.effect(images(2))).split("; ")
    session.close()
    assert said[-1] == "49.3 % of the weights are zero, multiplied all the same"
    assert ("4 of 30 channels removed" in said) == ((layers, constructed) == (3, 30))


def test_techniques_that_claim_a_precision_are_those_that_are_watched():
    """Each technique that decides the precision says which one, or changes weights that are looked at."""
    deciding = {t.name for t in techniques.catalogue().values() if t.changes == "precision"}
    silent = {name for name in deciding if techniques.catalogue()[name].precision("cpu") is None}
    assert silent == {"dynamic_quantization"}
