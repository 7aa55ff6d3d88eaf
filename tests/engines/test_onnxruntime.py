"""ONNX Runtime: what is in the file, what is seen to run in FP32 and INT8, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as runtime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torchvision.models import DenseNet

from densebench.build_cache import SCRATCH
from densebench.engines import _onnx_quantize, onnxruntime
from densebench.engines._onnx_export import INPUT
from densebench.engines.base import Built, Target
from densebench.errors import RefusedArtifact, Unavailable, UsageError
from densebench.model.adapter import served
from densebench.model.fidelity import relative_difference
from densebench.recipes import parse
from densebench.workloads.base import ImageSet, Workload
from tests.small import CLASSES, images, tiny_model, tiny_workload

SIZE = 32


def small_densenet() -> nn.Module:
    """Two dense blocks, with every kind of layer that the large ones have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = DenseNet(16, (2, 2), 32, bn_size=2, num_classes=CLASSES).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "tiny": (tiny_model, 16),
    "densenet": (small_densenet, SIZE),
}


def workload_of(name: str, calibration: int | None = 32) -> Workload:
    """A workload around one of the models, with images to calibrate it."""
    make, size = MODELS[name]
    workload = tiny_workload()
    of = None
    if calibration is not None:
        of = ImageSet((0,) * calibration, lambda positions: images(256, size, seed=11)[list(positions)])
    return replace(workload, image_size=size, build_model=make, data=replace(workload.data, calibration=of))


@dataclass(frozen=True)
class Made:
    """A built artifact."""

    folder: Path
    built: Built
    model: nn.Module
    images: Tensor

    def load(self, **details: Any) -> onnxruntime.OnnxSession:
        """As a child process would, from the folder and the details in its manifest."""
        return onnxruntime.load(self.folder, json.loads(json.dumps(self.built.details)) | details, "cpu")

    def expected(self) -> Tensor:
        with torch.inference_mode():
            return self.model(self.images)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    """Build a model in a precision, once."""
    done: dict[tuple[str, str], Made] = {}

    def build(name: str, precision: str) -> Made:
        if (name, precision) not in done:
            workload = workload_of(name)
            model = served(workload.build_model())
            folder = tmp_path_factory.mktemp(f"{name}-{precision}")
            built = onnxruntime.build(model, workload, folder, Target("cpu", (4,), 1), precision=precision)
            done[name, precision] = Made(folder, built, model, images(4, MODELS[name][1]))
        return done[name, precision]

    return build


@pytest.mark.parametrize("name", MODELS)
def test_fp32_answers_as_the_model_at_any_batch_size(make: Callable[[str, str], Made], name: str) -> None:
    """One file serves every batch size, and its logits are PyTorch's."""
    made = make(name, "fp32")
    session = made.load()
    assert not made.built.rounds
    for size in (1, 2, 3, 7):
        inputs = images(size, MODELS[name][1])
        with torch.inference_mode():
            assert relative_difference(session(inputs), made.model(inputs)) < onnxruntime.ENGINE.tolerance


@pytest.mark.parametrize(("name", "layers"), [("tiny", 2), ("densenet", 10)])
def test_int8_runs_in_int8(make: Callable[[str, str], Made], name: str, layers: int) -> None:
    """Every convolution, batch norm and linear layer is seen to run in INT8, and the answers stay close."""
    made = make(name, "int8")
    session = made.load()
    assert made.built.rounds
    assert relative_difference(session(made.images), made.expected()) < 0.1
    effect = str(session.effect(made.images))
    assert effect.startswith(f"int8 convolutions {layers}/{layers}, int8 linear layers 1/1"), effect
    assert "100 % of the MACs" in effect
    if name == "densenet":
        assert "int8 batch norms 6/6" in effect


def test_the_fp32_effect_counts_what_was_fused(make: Callable[[str, str], Made]) -> None:
    """No batch norm is left by itself, and the convolutions before an activation do it themselves."""
    effect = str(make("densenet", "fp32").load().effect(images(2, SIZE)))
    assert effect.startswith("optimized graph: 10 convolutions, ")
    assert effect.endswith("0 batch norms left")
    assert " 0 nodes with their activation" not in effect


def test_a_claim_of_int8_that_is_none_is_found_out(make: Callable[[str, str], Made]) -> None:
    """A file that was never quantized, in an artifact that says INT8, has no effect to tell of."""
    assert str(make("tiny", "fp32").load(precision="int8").effect(images(2))).startswith("none: ")


def test_the_trace_shows_layers_and_steps(make: Callable[[str, str], Made]) -> None:
    """Chrome events of three inferences: operators by name, the layer of each, times from zero."""
    session = make("tiny", "fp32").load()
    events = session.trace(images(2))
    steps = [event for event in events if event["name"].startswith("ProfilerStep#")]
    assert [step["name"] for step in steps] == ["ProfilerStep#0", "ProfilerStep#1", "ProfilerStep#2"]
    assert min(event["ts"] for event in events) == 0
    assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
    kernels = [event for event in events if event not in steps]
    convolutions = [event for event in kernels if event["name"] in {"Conv", "FusedConv"}]
    assert len(convolutions) == 2 * len(steps)
    assert "head/Gemm" in {event["args"]["layer"] for event in kernels if event["name"] == "Gemm"}
    for event in kernels:
        assert any(s["ts"] <= event["ts"] and event["ts"] + event["dur"] <= s["ts"] + s["dur"] for s in steps)
    json.dumps(events)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_deployer_needs_neither_densebench_nor_pytorch(
    make: Callable[[str, str], Made], precision: str, tmp_path: Path
) -> None:
    """The code that `usage` gives answers as the session does."""
    made = make("tiny", precision)
    np.save(tmp_path / "images.npy", made.images.numpy())
    code = (
        f"import sys, numpy\nimages = numpy.load({str(tmp_path / 'images.npy')!r})\n"
        f"{onnxruntime.usage(made.built.details)}"
        f"numpy.save({str(tmp_path / 'logits.npy')!r}, logits)\n"
        "assert not {'torch', 'densebench'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=made.folder, check=True, timeout=120)
    logits = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    assert relative_difference(logits, made.load()(made.images)) < 1e-6


def test_the_file_names_layers_and_nothing_of_this_machine(make: Callable[[str, str], Made]) -> None:
    """Nodes carry their modules' names; source lines of the machine that exported are not in it."""
    path = make("densenet", "fp32").folder / onnxruntime.MODEL
    graph = onnx.load(path).graph
    names = [node.name for node in graph.node]
    assert "features.denseblock1.denselayer1.conv2/Conv" in names
    assert len(set(names)) == len(names)
    assert graph.input[0].name == "images"
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [output.name for output in graph.output] == ["logits"]
    assert b".py" not in path.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [onnxruntime.MODEL]


def test_a_layout_of_the_model_does_no_harm(tmp_path: Path) -> None:
    """Weights in NHWC memory are exported as the same numbers."""
    workload = workload_of("tiny")
    model = served(tiny_model().to(memory_format=torch.channels_last), channels_last=True)
    built = onnxruntime.build(model, workload, tmp_path, Target("cpu", (1,), 1))
    with torch.inference_mode():
        expected = model(images(2))
    assert relative_difference(onnxruntime.load(tmp_path, built.details, "cpu")(images(2)), expected) < 1e-5


def test_a_sweep_exports_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FP32 and INT8 begin with the same graph; the second build counts the seconds that the first one took for it."""
    monkeypatch.setenv(SCRATCH, str(tmp_path))
    workload = workload_of("tiny")
    builds = {}
    for name in ("model", "model", "another"):
        folder = tmp_path / f"artifact{len(builds)}"
        folder.mkdir()
        target = Target("cpu", (1,), 1, name)
        builds[folder] = onnxruntime.build(served(workload.build_model()), workload, folder, target)
    graphs = [(folder / onnxruntime.MODEL).read_bytes() for folder in builds]
    assert graphs[0] == graphs[1]
    spared = [built.spared_s > 0 for built in builds.values()]
    assert spared == [False, True, False]


def test_a_build_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exporters' progress has no place between the rows of a sweep."""
    workload = workload_of("tiny")
    onnxruntime.build(
        served(workload.build_model()), workload, tmp_path, Target("cpu", (1,), 1), precision="int8"
    )
    assert capfd.readouterr() == ("", "")


def test_without_calibration_images_int8_is_unavailable(tmp_path: Path) -> None:
    """The row is skipped and says what it needs; nothing is written."""
    workload = workload_of("tiny", calibration=None)
    with pytest.raises(Unavailable, match="INT8 needs calibration images: give --data"):
        onnxruntime.build(tiny_model(), workload, tmp_path, Target("cpu", (1,), 1), precision="int8")
    assert not list(tmp_path.iterdir())


def test_one_calibration_image_is_too_few(tmp_path: Path) -> None:
    """A range from one image would be wrong for the next."""
    workload = workload_of("tiny", calibration=1)
    with pytest.raises(UsageError, match="1 image to calibrate INT8 with, 8 are needed"):
        onnxruntime.build(tiny_model(), workload, tmp_path, Target("cpu", (1,), 1), precision="int8")


def read_for(folder: Path, images_there: int, training: int = 0, **options: object) -> list[Sequence[int]]:
    """The positions that an INT8 build reads, batch by batch; those of training images are negative."""
    asked: list[Sequence[int]] = []
    several = images(8, seed=11)

    def images_of(count: int, sign: int) -> ImageSet:
        def read(positions: Sequence[int]) -> Tensor:
            asked.append([sign * position for position in positions])
            return several[[position % len(several) for position in positions]]

        return ImageSet((0,) * count, read)

    workload = workload_of("tiny")
    there = {
        "calibration": images_of(images_there, 1),
        "training": images_of(training, -1) if training else None,
    }
    workload = replace(workload, data=replace(workload.data, **there))
    model = served(workload.build_model())
    onnxruntime.build(model, workload, folder, Target("cpu", (1,), 1), precision="int8", **options)
    return asked


def test_calibration_reads_in_batches_and_over_the_whole_set(tmp_path: Path) -> None:
    """256 images, spread over a large set, never all in memory; all of a small one."""
    asked = read_for(tmp_path, 1000)
    positions = [position for batch in asked for position in batch]
    assert len(set(positions)) == 256
    assert positions[0] == 0
    assert positions[-1] > 990
    assert max(len(batch) for batch in asked) <= 4
    assert sum(map(len, read_for(tmp_path, 100))) == 100


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_calibration_takes_the_number_that_is_asked_for(tmp_path: Path, method: str) -> None:
    """To the image, also where the last batch is then a smaller one."""
    asked = read_for(tmp_path, 100, calibration=13, method=method)
    positions = [position for batch in asked for position in batch]
    assert positions == [n * 100 // 13 for n in range(13)]


def test_more_calibration_images_come_from_training(tmp_path: Path) -> None:
    """Which has those of calibration in it; more than there are is an error that says how many there are."""
    asked = read_for(tmp_path, 20, training=50, calibration=40)
    assert sum(map(len, asked)) == 40
    assert min(position for batch in asked for position in batch) < -40
    with pytest.raises(UsageError, match=r"^51 images to calibrate INT8 with were asked for, 50 are there: "):
        read_for(tmp_path, 20, training=50, calibration=51)
    with pytest.raises(
        UsageError, match=r"^257 images to calibrate INT8 with were asked for, 20 are there: "
    ):
        read_for(tmp_path, 20, calibration=257)


def scale_of(path: Path, tensor: str) -> float:
    """One of the 256 steps that a tensor's range has in an INT8 file."""
    graph = onnx.load(path).graph
    (scale,) = {
        node.input[1] for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == tensor
    }
    return float(numpy_helper.to_array(next(one for one in graph.initializer if one.name == scale)))


def test_rare_values_are_cut_off_where_that_is_asked_for(tmp_path: Path) -> None:
    """One pixel that is far brighter than all others sets the range of `minmax`, and of no other method."""
    there = images(32, seed=11).clamp(-3, 3)
    there[5, 0, 0, 0] = 12.0
    workload = workload_of("tiny")
    found = ImageSet((0,) * len(there), lambda positions: there[list(positions)])
    workload = replace(workload, data=replace(workload.data, calibration=found))
    steps = {}
    for options in (
        {"method": "minmax"},
        {"method": "entropy"},
        {"method": "percentile"},
        {"method": "percentile", "percentile": 95.0},
    ):
        folder = tmp_path / str(len(steps))
        folder.mkdir()
        model = served(workload.build_model())
        built = onnxruntime.build(
            model, workload, folder, Target("cpu", (1,), 1), precision="int8", **options
        )
        assert {**built.details, **options} == built.details
        steps[tuple(options.values())] = 255 * scale_of(folder / onnxruntime.MODEL, INPUT)
    assert steps["minmax",] == pytest.approx(15, abs=0.1)  # -3 to 12
    assert steps["entropy",] < 12
    assert steps["percentile",] == pytest.approx(6, abs=0.2)
    assert steps["percentile", 95.0] == pytest.approx(3.9, abs=0.2)  # 1.96 to both sides


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (
            "all",
            r"optimized graph: (\d+) convolutions, [1-9]\d* nodes .*, 6 batch norms run as convolutions, 0 batch",
        ),
        (
            "extended",
            r"optimized graph: (\d+) convolutions, [1-9]\d* nodes with their activation fused, 6 batch norms",
        ),
        ("basic", r"graph as it is in the file: (\d+) convolutions, 0 nodes .*, 6 batch norms left"),
        ("off", r"graph as it is in the file: (\d+) convolutions, 0 nodes .*, 6 batch norms left"),
    ],
)
def test_each_level_of_optimization_is_seen(make: Callable[[str, str], Made], graph: str, said: str) -> None:
    """The effect counts what the level leaves; the answers are the same, and INT8 needs the fusions of `extended`."""
    made = make("densenet", "fp32")
    session = made.load(graph=graph)
    found = re.match(said, effect := str(session.effect(images(2, SIZE))))
    assert found, effect
    assert found[1] == "10"
    assert relative_difference(session(made.images), made.expected()) < onnxruntime.ENGINE.tolerance
    int8 = str(make("densenet", "int8").load(graph=graph).effect(images(2, SIZE)))
    if graph in {"all", "extended"}:
        assert int8.startswith("int8 convolutions 10/10, int8 linear layers 1/1, int8 batch norms 6/6, 100 %")
    else:
        assert int8.startswith("none: no convolution or linear layer ran in INT8")


def idle_node(path: Path) -> None:
    """A node that does nothing, which the exporter would not have left."""
    model = onnx.load(path)
    first = next(node for node in model.graph.node if INPUT in node.input)
    first.input[0] = "same"
    model.graph.node.insert(0, helper.make_node("Identity", [INPUT], ["same"], "idle"))
    path.write_bytes(model.SerializeToString())


def test_the_basic_level_is_told_from_none(make: Callable[[str, str], Made], tmp_path: Path) -> None:
    """Where the file has something that it can take out: what the exporter writes has nothing such."""
    details = damaged(make("tiny", "fp32"), tmp_path, idle_node)
    told = {
        graph: str(onnxruntime.load(tmp_path, {**details, "graph": graph}, "cpu").effect(images(2)))
        for graph in ("basic", "off")
    }
    assert told["basic"].startswith("optimized graph: 2 convolutions, ")
    assert told["off"].startswith("graph as it is in the file: 2 convolutions, ")


def test_the_arena_is_seen_to_be_off(make: Callable[[str, str], Made]) -> None:
    """In the memory that the session gives its images."""
    made = make("tiny", "fp32")
    assert "arena" not in str(made.load().effect(made.images))
    assert str(made.load(arena=False).effect(made.images)).endswith("; no memory arena")


def test_the_defaults_are_onnx_runtimes_own(make: Callable[[str, str], Made]) -> None:
    """So the README's code leaves them out, and an artifact from before the options is loaded as it was built."""
    made = make("tiny", "fp32")
    old = {key: value for key, value in made.built.details.items() if key not in {"graph", "arena"}}
    assert set(made.built.details) - set(old) == {"graph", "arena"}
    plain = runtime.SessionOptions()
    for details in (old, made.built.details):
        options = onnxruntime.load(made.folder, details, "cpu").session.get_session_options()
        assert options.graph_optimization_level == plain.graph_optimization_level
        assert options.enable_cpu_mem_arena == plain.enable_cpu_mem_arena
        assert "arena" not in onnxruntime.usage(details)
        assert "level" not in onnxruntime.usage(details)


def test_weights_keep_to_seven_bits_without_vnni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such processors add two products in 16 bits, which overflows with eight."""
    most = {}
    for flags in ({"avx2"}, {"avx2", "avx512_vnni"}):
        monkeypatch.setattr(_onnx_quantize, "cpu_flags", lambda flags=flags: frozenset(flags))
        monkeypatch.setattr(_onnx_quantize.platform, "machine", lambda: "x86_64")
        workload = workload_of("tiny")
        onnxruntime.build(
            served(workload.build_model()), workload, tmp_path, Target("cpu", (1,), 1), precision="int8"
        )
        weights = [
            numpy_helper.to_array(tensor)
            for tensor in onnx.load(tmp_path / onnxruntime.MODEL).graph.initializer
            if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1
        ]
        most[len(flags)] = max(np.abs(weight.astype(int)).max() for weight in weights)
    assert most == {1: 64, 2: 127}


def test_a_batch_norm_is_the_same_as_a_convolution() -> None:
    """The depthwise form computes what the batch norm does, with its own epsilon."""
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(1)
    shapes = {name: rng.uniform(0.5, 2, 6).astype(np.float32) for name in ("gamma", "beta", "mean", "var")}
    kind = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("BatchNormalization", ["r", *shapes], ["y"], "norm", epsilon=0.1),
        ],
        "norms",
        [kind("x", TensorProto.FLOAT, [2, 6, 3, 3])],
        [kind("y", TensorProto.FLOAT, [2, 6, 3, 3])],
        [numpy_helper.from_array(values, name) for name, values in shapes.items()],
        value_info=[kind("r", TensorProto.FLOAT, [2, 6, 3, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    x = {"x": rng.normal(size=(2, 6, 3, 3)).astype(np.float32)}
    (before,) = ReferenceEvaluator(model).run(None, x)
    _onnx_quantize.batch_norms_as_convolutions(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Conv"]
    (after,) = ReferenceEvaluator(model).run(None, x)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def damaged(made: Made, folder: Path, change: Callable[[Path], None]) -> Mapping[str, Any]:
    """A copy of the artifact with something done to its file."""
    path = folder / onnxruntime.MODEL
    path.write_bytes((made.folder / onnxruntime.MODEL).read_bytes())
    change(path)
    return made.built.details


def cut(path: Path) -> None:
    """Half of the file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def point_outside(path: Path) -> None:
    """A weight that is said to be in a file outside the folder."""
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    (path.parent.parent / "secret.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    path.write_bytes(model.SerializeToString())


def foreign_operator(path: Path) -> None:
    """An operator that only someone's library would have."""
    model = onnx.load(path)
    model.graph.node[0].domain = "someone.elses"
    model.opset_import.append(helper.make_opsetid("someone.elses", 1))
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("change", [cut, point_outside, foreign_operator, Path.unlink])
def test_a_bad_file_is_refused_in_one_line(
    make: Callable[[str, str], Made], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Truncated, reaching outside its folder, in need of someone's code, or gone."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    details = damaged(make("tiny", "fp32"), folder, change)
    with pytest.raises(RefusedArtifact) as refusal:
        onnxruntime.load(folder, details, "cpu")
    assert len(str(refusal.value).splitlines()) == 1
    assert "build it again" in str(refusal.value)


def test_a_compiled_engine_inside_is_code(make: Callable[[str, str], Made], tmp_path: Path) -> None:
    """A file for TensorRT may hold an engine of its own, which could bring plugins."""
    details = damaged(make("tiny", "fp32"), tmp_path, lambda path: path.write_bytes(b"EPContext"))
    with pytest.raises(RefusedArtifact, match="which is code"):
        onnxruntime.load(tmp_path, {**details, "provider": "tensorrt"}, "cuda")


@pytest.mark.parametrize("technique", ["bf16", "quantize", "amp", "dynamic_quantization"])
def test_a_precision_before_it_is_refused(technique: str) -> None:
    """The message names the option that does it."""
    with pytest.raises(UsageError, match="write onnx:precision=int8"):
        parse.resolve(f"{technique}+onnx", {})


def test_where_it_cannot_run_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing packages, a package without CUDA, and devices that INT8 or TensorRT don't run on."""
    workload = workload_of("tiny")
    target = Target("cuda", (1,), 1)
    with pytest.raises(Unavailable, match="no INT8 kernels for CUDA"):
        onnxruntime.build(tiny_model(), workload, tmp_path, target, precision="int8")
    with pytest.raises(Unavailable, match="CUDA devices"):
        onnxruntime.build(tiny_model(), workload, tmp_path, Target("cpu", (1,), 1), provider="tensorrt")
    assert onnxruntime.unavailable("cpu") is None
    monkeypatch.setattr(onnxruntime, "CUDA_LIBRARY", "no such library")
    assert "onnxruntime-gpu" in str(onnxruntime.unavailable("cuda"))
    monkeypatch.setattr(onnxruntime, "find_spec", lambda name: None)
    assert "densebench[onnx]" in str(onnxruntime.unavailable("cpu"))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_no_silent_fallback(make: Callable[[str, str], Made]) -> None:
    """Loaded for CUDA where it can't run, the artifact is not run on the CPU instead."""
    made = make("tiny", "fp32")
    with pytest.raises(Unavailable, match="CUDAExecutionProvider"):
        onnxruntime.load(made.folder, made.built.details, "cuda")
