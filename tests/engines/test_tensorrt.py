"""TensorRT's logic without a GPU: a fake library around real graphs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pynvml
import pytest
import torch
from onnx import helper

from densebench.build_cache import SCRATCH
from densebench.engines import _tensorrt_graph, _tensorrt_layers, _tensorrt_plan, _tensorrt_session, tensorrt
from densebench.engines._layer_times import LAID
from densebench.engines.base import Built, Target
from densebench.errors import CellFailed, DensebenchError, RefusedArtifact, Unavailable, UsageError
from densebench.model.adapter import served
from densebench.model.fidelity import relative_difference
from densebench.workloads.base import ImageSet, Workload
from tests.engines import fake_tensorrt
from tests.small import CLASSES, images

pytest_plugins = ["tests.fixtures"]

SIZES = (1, 2, 4, 8)
TARGET = Target("cuda", SIZES, 1)
OWN_STREAM, GIVEN_STREAM = 77, 5


class Stream:
    """A CUDA stream that notes whom it waits for."""

    waits: list[tuple[int, int]] = []  # noqa: RUF012 - one list for all streams, in order

    def __init__(self, handle: int = OWN_STREAM) -> None:
        self.cuda_stream = handle

    def wait_stream(self, other: Stream) -> None:
        self.waits.append((self.cuda_stream, other.cuda_stream))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one FP32 graph of these tests is, once it has been exported."""
    return tmp_path_factory.mktemp("exported") / "model.onnx"


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch, exported: Path) -> None:
    """The fake library in place of `tensorrt`, and a GPU that it runs on."""
    export = _tensorrt_graph.write_graph

    def export_once(model: Any, shape: Any, path: Path, *, batch_sizes: tuple[int, ...]) -> None:
        if not exported.exists():
            export(model, shape, exported, batch_sizes=batch_sizes)
        shutil.copy(exported, path)

    monkeypatch.setattr(_tensorrt_graph, "write_graph", export_once)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt)
    for record in (fake_tensorrt.BUILT, fake_tensorrt.DESERIALIZED, fake_tensorrt.STREAMS, Stream.waits):
        record.clear()
    for name, value in {
        "Stream": Stream,
        "current_stream": lambda: Stream(0),
        "synchronize": lambda: None,
        "get_device_name": lambda: "NVIDIA H100",
        "get_device_capability": lambda: (9, 0),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.1",
    }.items():
        monkeypatch.setattr(pynvml, name, value)


@pytest.fixture
def calibrated(tiny: Workload) -> Workload:
    """The workload with images to calibrate INT8 on."""
    return with_images(tiny, 32)


def with_images(workload: Workload, count: int) -> Workload:
    """The workload with this many calibration images."""
    several = images(count, seed=1)
    data = dataclasses.replace(
        workload.data, calibration=ImageSet((0,) * count, lambda positions: several[list(positions)])
    )
    return dataclasses.replace(workload, data=data)


@dataclasses.dataclass(frozen=True)
class Made:
    """An artifact in its folder."""

    folder: Path
    built: Built

    @property
    def details(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(json.dumps(self.built.details))
        return loaded

    def load(self) -> _tensorrt_session.PlanSession:
        return tensorrt.load(self.folder, self.details, "cuda")


def make(workload: Workload, folder: Path, precision: str) -> Made:
    """Build the workload's model in a precision."""
    model = served(workload.build_model())
    return Made(folder, tensorrt.build(model, workload, folder, TARGET, precision=precision))


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 5e-3), ("int8", 0.1)])
def test_a_plan_answers_as_the_model_did(
    calibrated: Workload, tmp_path: Path, precision: str, tolerance: float
) -> None:
    """In each precision, at each batch size up to the largest, with FP32 at the boundary."""
    session = make(calibrated, tmp_path, precision).load()
    model = served(calibrated.build_model())
    for size in (8, 1, 3):
        with torch.inference_mode():
            outputs = session(images(size))
            assert (outputs.shape, outputs.dtype) == ((size, CLASSES), torch.float32)
            assert relative_difference(outputs, model(images(size))) <= tolerance
    session.close()
    session.close()


def test_one_profile_holds_every_batch_size(tiny: Workload, tmp_path: Path) -> None:
    """From 1 to the largest, fastest in the middle; strongly typed, and FP32 is FP32."""
    assert make(tiny, tmp_path, "fp16").built.largest_batch == 8
    (config,) = fake_tensorrt.BUILT
    shapes = [profile.shapes["images"] for profile in config.profiles]
    assert shapes == [((1, 3, 16, 16), (4, 3, 16, 16), (8, 3, 16, 16))]
    assert config.strongly_typed
    assert fake_tensorrt.BuilderFlag.TF32 not in config.flags
    assert config.pools == {fake_tensorrt.MemoryPoolType.WORKSPACE: 4096 * 10**6}


def test_the_artifact_is_the_plan(tiny: Workload, tmp_path: Path) -> None:
    """And what `effect` needs to know; Triton is given a part of it."""
    made = make(tiny, tmp_path, "fp16")
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {tensorrt.PLAN, tensorrt.OPERATORS}
    assert tensorrt.ENGINE.triton
    assert set(tensorrt.ENGINE.triton.files) < there
    assert made.built.caches == ()


def test_kernels_are_timed_once_in_a_sweep(
    calibrated: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each build begins with what those before it learned on this GPU; on another or outside a sweep with nothing."""
    folders = [tmp_path / name for name in ("scratch", "a", "b", "c", "d", "e")]
    for folder in folders:
        folder.mkdir()
    scratch, *others = folders
    monkeypatch.setenv(SCRATCH, str(scratch))
    made = [make(calibrated, others[0], "fp16"), make(calibrated, others[1], "int8")]
    made.append(make(calibrated, others[2], "fp32"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA L4")
    made.append(make(calibrated, others[3], "fp16"))
    monkeypatch.delenv(SCRATCH)
    made.append(make(calibrated, others[4], "fp16"))
    learned = [config.cache.content for config in fake_tensorrt.BUILT if config.cache]
    assert learned == [b"timed" * times for times in (1, 2, 3, 1, 1)]
    said = [one.details["kernels_timed_before"] for one in made]
    assert said == [False, True, True, False, False]


def test_timings_that_tensorrt_refuses_cost_no_row(tiny: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then all are taken anew; where it refuses an empty cache too, the row says so."""
    graph = _tensorrt_graph.graph_of(served(tiny.build_model()), tiny, SIZES, "fp32").content
    take = fake_tensorrt.Config.set_timing_cache

    def picky(config: Any, cache: Any, *, ignore_mismatch: bool) -> bool:
        return not cache.content and take(config, cache, ignore_mismatch)

    monkeypatch.setattr(fake_tensorrt.Config, "set_timing_cache", picky)
    assert _tensorrt_plan.plan_of(fake_tensorrt, graph, SIZES, 1, b"of another").timings == b"timed"
    monkeypatch.setattr(fake_tensorrt.Config, "set_timing_cache", lambda *given, **named: False)
    with pytest.raises(CellFailed, match="refuses an empty timing cache"):
        _tensorrt_plan.plan_of(fake_tensorrt, graph, SIZES, 1)


@pytest.mark.parametrize(
    ("owner", "name", "value", "said"),
    [
        (torch.cuda, "get_device_name", lambda: "NVIDIA L4", "GPU NVIDIA H100, here is NVIDIA L4"),
        (torch.cuda, "get_device_capability", lambda: (8, 9), "compute capability 9.0, here is 8.9"),
        (fake_tensorrt, "__version__", "10.16.1.11", "TensorRT 11.4.0.106, here is 10.16.1.11"),
    ],
)
def test_a_plan_for_another_gpu_or_version_is_refused(
    tiny: Workload,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    value: Any,
    said: str,
) -> None:
    """In one line that says what differs, and before TensorRT sees a byte of it."""
    made = make(tiny, tmp_path, "fp16")
    monkeypatch.setattr(owner, name, value)
    with pytest.raises(RefusedArtifact, match=said) as refused:
        made.load()
    assert "\n" not in str(refused.value)
    assert fake_tensorrt.DESERIALIZED == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_fp32_plan_is_held_against_the_model(calibrated: Workload, tmp_path: Path, precision: str) -> None:
    """The probe is the model's own answer, and the plan's only where it is rounded."""
    assert make(calibrated, tmp_path, precision).built.rounds == (precision != "fp32")


def test_another_driver_is_no_reason_to_refuse(
    tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers are updated under running services; the artifact notes the one it was built with."""
    made = make(tiny, tmp_path, "fp16")
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "999.9")
    assert made.load()(images(1)).shape == (1, CLASSES)
    assert made.details["bound_to"]["driver"] == "580.1"


def test_a_plan_that_can_not_be_read_is_refused(tiny: Workload, tmp_path: Path) -> None:
    """With TensorRT's own words."""
    made = make(tiny, tmp_path, "fp16")
    (tmp_path / tensorrt.PLAN).write_bytes(b"something else")
    with pytest.raises(RefusedArtifact, match="build it again: magic tag does not match"):
        made.load()


@pytest.mark.parametrize("version", ["10.16.1.11", "11.4.0.106"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_effect_is_read_from_the_plan(
    calibrated: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, version: str
) -> None:
    """In the words of either version's inspector."""
    monkeypatch.setattr(fake_tensorrt, "__version__", version)
    session = make(calibrated, tmp_path, precision).load()
    found = {"fp32": "float32", "fp16": "float16", "int8": "int8"}[precision]
    assert str(session.effect(images(2))).startswith(f"{found} convolutions 2/2; ")


@pytest.mark.parametrize(
    ("precision", "step", "replacement", "said"),
    [
        (
            "fp16",
            "halved",
            lambda graph: graph,
            "none: no float16 convolution was seen (float32 convolutions 2/2)",
        ),
        (
            "int8",
            "quantize",
            lambda source, result, images, **how: shutil.copy(source, result),
            "none: no int8 convolution was seen (float16 convolutions 2/2)",
        ),
    ],
)
def test_a_claim_without_a_deed_is_found_out(
    calibrated: Workload,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    step: str,
    replacement: Any,
    said: str,
) -> None:
    """A build that skips its cast or its quantization says so in the row."""
    monkeypatch.setattr(_tensorrt_graph, step, replacement)
    assert str(make(calibrated, tmp_path, precision).load().effect(images(2))) == said


def test_int8_is_in_the_graph(calibrated: Workload) -> None:
    """Every convolution reads what was INT8, weights by channel, and computes in FP16 what isn't."""
    model = served(calibrated.build_model())
    content = _tensorrt_graph.graph_of(model, calibrated, SIZES, "int8").content
    graph = onnx.load_from_string(content).graph
    assert fake_tensorrt.objections(graph) == []
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 2
    for node in convolutions:
        both = [makers[name] for name in node.input[:2]]
        assert [maker.op_type for maker in both] == ["DequantizeLinear"] * 2
        scales = [constants[maker.input[1]] for maker in both]
        assert [list(scale.dims) for scale in scales] == [[], [8]]  # of the tensor; of each output channel
        assert {scale.data_type for scale in scales} == {onnx.TensorProto.FLOAT16}
    ends = (*graph.input, *graph.output)
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize(
    ("count", "problem", "said"),
    [(None, Unavailable, "INT8 needs calibration images"), (1, UsageError, "1 image to calibrate INT8")],
)
def test_int8_needs_images(
    tiny: Workload, tmp_path: Path, count: int | None, problem: type[DensebenchError], said: str
) -> None:
    """Without any the row is skipped, with too few the request is wrong; nothing is exported first."""
    workload = tiny if count is None else with_images(tiny, count)
    with pytest.raises(problem, match=said):
        make(workload, tmp_path, "int8")
    assert list(tmp_path.iterdir()) == []


def test_what_tensorrt_can_not_build_is_told_in_its_words() -> None:
    """An operator that the parser rejects, and one that no kernel is found for."""
    value = [helper.make_tensor_value_info("images", 1, ["n", 3, 4, 4])]
    result = [helper.make_tensor_value_info("logits", 1, ["n", 3, 4, 4])]
    node = helper.make_node("Unbuildable", ["images"], ["logits"], name="x", domain="custom")
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("custom", 1)]
    model = helper.make_model(helper.make_graph([node], "g", value, result), opset_imports=opsets)
    with pytest.raises(CellFailed, match="can't take this graph: no importer for custom::Unbuildable"):
        _tensorrt_plan.plan_of(fake_tensorrt, model.SerializeToString(), SIZES, 1)


def test_no_plan_is_a_failed_row(tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last error that TensorRT logged is the reason, as one line."""

    def none(builder: Any, network: Any, config: Any) -> None:
        builder.logger.log(fake_tensorrt.ILogger.ERROR, "Error 10: no  implementation\nfor node x")
        builder.logger.log(fake_tensorrt.ILogger.WARNING, "something else")

    monkeypatch.setattr(fake_tensorrt.Builder, "build_serialized_network", none)
    with pytest.raises(CellFailed, match="built no plan: Error 10: no implementation for node x"):
        make(tiny, tmp_path, "fp16")


@pytest.mark.parametrize(
    ("batch", "said"), [(images(9), "takes 1 to 8 images at once"), (images(1, size=20), "images of 3x16x16")]
)
def test_a_batch_that_does_not_fit_is_refused(
    tiny: Workload, tmp_path: Path, batch: torch.Tensor, said: str
) -> None:
    """One line says what the plan takes."""
    session = make(tiny, tmp_path, "fp16").load()
    with pytest.raises(UsageError, match=said):
        session(batch)


def test_pytorchs_stream_is_kept(tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the default stream a stream of the session's own is used, in order on both sides; else the given one."""
    session = make(tiny, tmp_path, "fp16").load()
    session(images(1))
    assert fake_tensorrt.STREAMS == [OWN_STREAM]
    assert Stream.waits == [(OWN_STREAM, 0), (0, OWN_STREAM)]
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream(GIVEN_STREAM))
    session(images(1))
    assert fake_tensorrt.STREAMS[1:] == [GIVEN_STREAM]
    assert len(Stream.waits) == 2


def test_a_trace_is_of_layers_by_operator(tiny: Workload, tmp_path: Path) -> None:
    """Three inferences, layer after layer, under the names that other engines' traces use."""
    session = make(tiny, tmp_path, "fp16").load()
    events = [event for event in session.trace(images(2)) if event["cat"] == "kernel"]
    assert [event["name"] for event in events].count("Conv") == 2 * 3
    assert {event["dur"] for event in events} == {250.0}
    assert [event["ts"] for event in events] == [250.0 * index for index in range(len(events))]
    first = next(event for event in events if event["name"] == "Conv")
    assert first["args"] == {
        "layer": "norm/Conv_fused",
        "nodes": "norm/Conv, Relu",
        "reads": "float16",
        "start": LAID,
    }
    assert session.context.profiler is None  # the context that is timed is never profiled


def test_a_deployer_runs_the_plan_without_densebench(
    tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code in the artifact's README gives what the session gives."""
    made = make(tiny, tmp_path, "fp16")
    monkeypatch.chdir(tmp_path)
    code = tensorrt.usage(made.details)
    assert "densebench" not in code
    names: dict[str, Any] = {"images": images(3).numpy()}
    exec(code.replace('"cuda"', '"cpu"'), names)
    assert names["logits"] == pytest.approx(made.load()(images(3)).numpy())


def test_a_deployer_on_another_gpu_is_told_so(
    tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT only logs, and gives no engine."""
    made = make(tiny, tmp_path, "fp16")
    (tmp_path / tensorrt.PLAN).write_bytes(b"of another GPU")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="the plan is for another GPU or TensorRT version"):
        exec(tensorrt.usage(made.details), {"images": images(1).numpy()})


def test_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU first, then the packages."""
    assert tensorrt.unavailable("cpu") == "needs an NVIDIA GPU (--device cuda)"
    assert tensorrt.unavailable("cuda") is None
    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.setattr(tensorrt, "find_spec", lambda name: None)
    assert tensorrt.unavailable("cuda") == "pip install 'densebench[tensorrt]'"


CONVOLUTION = {  # what NVIDIA's guide shows of version 10
    "Name": "res4_0_branch2a + res4_0_branch2a_bn_2",
    "LayerType": "CaskConvolution",
    "Inputs": [
        {
            "Name": "gpu_0/res3_3_branch2c_bn_3",
            "Dimensions": [16, 512, 28, 28],
            "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format.",
        }
    ],
    "Metadata": "[ONNX Layer: a/Conv]\x1e[ONNX Layer: a/Relu]",
}


def seen(*layers: Any, precision: str = "int8") -> str:
    """What is said of a graph of two convolutions."""
    operators = {"a/Conv": "Conv", "a/Relu": "Relu", "b/Conv": "Conv"}
    return str(
        _tensorrt_layers.describe(_tensorrt_layers.layers_of({"Layers": layers}), operators, precision)
    )


def layer(*types: str, node: str = "b/Conv", kind: str = "conv") -> dict[str, Any]:
    """A layer as version 11 tells of it."""
    return {
        "Name": node,
        "LayerType": kind,
        "Inputs": [{"DataType": name, "Format": "unknown"} for name in types],
        "Metadata": f"[ONNX Layer: {node}]",
    }


def test_what_is_not_seen_is_not_claimed() -> None:
    """A convolution in no layer, one split over two types, one that only a reformatting layer names."""
    rest = "; 3 graph nodes in 2 layers"
    assert seen(CONVOLUTION, layer("Int8", "Half")) == f"int8 convolutions 2/2{rest}"
    assert seen(CONVOLUTION, layer("BFloat16")) == f"int8 convolutions 1/2; bfloat16 convolutions 1/2{rest}"
    assert seen(CONVOLUTION) == "int8 convolutions 1/2; 1 not seen in any layer; 3 graph nodes in 1 layers"
    moved = layer("Int8", kind="Reformat")
    assert seen(CONVOLUTION, moved) == f"int8 convolutions 1/2; 1 not seen in any layer{rest}"
    split = seen(CONVOLUTION, layer("Int8"), layer("Float"))
    assert split.startswith("int8 convolutions 1/2; float32 convolutions 1/2")
    unknown = layer("N/A due to dynamic shapes")
    assert seen(unknown) == "none: no int8 convolution was seen (2 not seen in any layer)"
    assert seen("only", "names") == "none: the plan doesn't tell what its layers compute"


def test_precision_is_the_engines_own_option() -> None:
    """A cast before it is refused, with what to write instead; both names are one engine."""
    from densebench.recipes.parse import resolve

    for line in ("bf16+tensorrt", "amp+trt", "quantize+tensorrt"):
        with pytest.raises(UsageError, match="write tensorrt:precision="):
            resolve(line, {})
    assert resolve("trt:precision=int8", {}).line == "tensorrt:precision=int8"
    assert SimpleNamespace(**resolve("tensorrt", {}).engine.options).precision == "fp16"
