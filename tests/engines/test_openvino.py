"""OpenVINO on real graphs: three precisions, what the plugin really ran, and what a deployer gets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from densebench.engines import _openvino_deploy, _openvino_layers
from densebench.engines import openvino as engine
from densebench.engines._openvino_telemetry import no_telemetry
from densebench.engines.base import Built, Target
from densebench.errors import Unavailable, UsageError
from densebench.machine.facts import emulated
from densebench.model.adapter import served
from densebench.model.fidelity import relative_difference
from densebench.recipes.parse import resolve
from densebench.workloads.base import ImageSet, Splits, Workload
from tests.small import CLASSES, images

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("openvino", "nncf"))), reason="needs densebench[openvino]"
)

PRECISIONS = ("fp32", "bf16", "int8")
FARTHEST = {"fp32": 1e-5, "bf16": 3e-2, "int8": 0.15}  # relative difference from PyTorch's FP32
NATIVE_BF16 = emulated("bfloat16", "cpu") is None
RESTS = {"auto": "bfloat16" if NATIVE_BF16 else "float32", "f32": "float32", "bf16": "bfloat16"}
HERE = Target("cpu", (1, 2), 1)


def image_set(source: Tensor, count: int, seen: list[int] | None = None) -> ImageSet:
    """The first `count` images of the source; `seen` collects the positions that are read."""

    def read(positions: Sequence[int]) -> Tensor:
        if seen is not None:
            seen.extend(positions)
        return source[list(positions)]

    return ImageSet(tuple(range(count)), read)


def with_data(workload: Workload, **sets: ImageSet) -> Workload:
    """The workload with these sets of images; its validation split can't be read."""

    def forbidden(positions: Sequence[int]) -> Tensor:
        raise AssertionError("the validation split was read while building")

    data = Splits("noise", None, ImageSet((0,) * 64, forbidden), torch.zeros)
    return replace(workload, data=replace(data, **sets))


@pytest.fixture
def calibrated(tiny: Workload) -> Workload:
    """`Tiny` with sixteen images of noise to calibrate on."""
    return with_data(tiny, calibration=image_set(images(16), 16))


@dataclass(frozen=True)
class Made:
    """An artifact, and the model that it was made from."""

    model: nn.Module
    folder: Path
    built: Built


def make(workload: Workload, folder: Path, **options: Any) -> Made:
    """Build as a run does, with the options checked."""
    model = served(workload.build_model())
    checked = engine.ENGINE.options.model_validate(options).model_dump()
    return Made(model, folder, engine.ENGINE.build(model, workload, folder, HERE, **checked))


def session_of(made: Made) -> engine.OpenVinoSession:
    """The artifact, loaded from its folder alone."""
    return engine.load(made.folder, made.built.details, "cpu")


def layers_of(session: engine.OpenVinoSession) -> list[_openvino_layers.Layer]:
    """What the plugin runs for one image."""
    return _openvino_layers.layers(session.request(1).get_compiled_model())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_answers_at_every_batch_size(
    precision: str, calibrated: Workload, tmp_path: Path
) -> None:
    """One file serves all batch sizes, more of them than stay compiled, and the first one again afterwards."""
    made = make(calibrated, tmp_path, precision=precision)
    session = session_of(made)
    for size in (1, 2, 3, 5, 8, 1):
        with torch.inference_mode():
            outputs, expected = session(images(size)), made.model(images(size))
        assert (outputs.shape, outputs.dtype) == ((size, CLASSES), torch.float32)
        assert relative_difference(outputs, expected) <= FARTHEST[precision]
    assert made.built.rounds is (precision != "fp32")
    assert {path.name for path in tmp_path.iterdir()} == {"model.xml", "model.bin"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_reload_repeats_itself(precision: str, calibrated: Workload, tmp_path: Path) -> None:
    """Two sessions on one file agree within the tolerance that the engine declares."""
    made = make(calibrated, tmp_path, precision=precision)
    first, second = session_of(made)(images(4)), session_of(made)(images(4))
    assert relative_difference(first, second) <= engine.ENGINE.tolerance


@pytest.fixture(scope="module")
def resnet() -> Workload:
    """ResNet-18 with random weights at 64 pixels, and noise to calibrate on."""
    from densebench.workloads.base import Preprocessing, Weights

    size = 64
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=CLASSES).eval()
    look = Preprocessing(size, size, (0.5,) * 3, (0.5,) * 3)
    weights = Weights("random", {}, tuple(map(str, range(CLASSES))), look, "0" * 64)
    nothing = Splits("none", None, None, torch.zeros)
    workload = Workload("resnet18", size, weights, nothing, lambda: model)
    return with_data(workload, calibration=image_set(images(8, size), 8))


@pytest.mark.parametrize(
    ("precision", "counts"),
    [
        ("fp32", "float32 convolutions 20/20, linear layers 1/1"),
        pytest.param(
            "bf16",
            "bfloat16 convolutions 20/20, linear layers 1/1",
            marks=pytest.mark.skipif(not NATIVE_BF16, reason="the processor has no BF16"),
        ),
        ("int8", "int8 convolutions 20/20, linear layers 1/1"),
    ],
)
def test_the_effect_counts_what_ran(precision: str, counts: str, resnet: Workload, tmp_path: Path) -> None:
    """On ResNet-18 every convolution runs in the precision that was asked for, and the logits stay near."""
    made = make(resnet, tmp_path, precision=precision)
    session = session_of(made)
    said = str(session.effect(images(1, 64)))
    assert counts in said
    assert said.startswith("graph fused: " if precision == "fp32" else counts)
    assert ("100 % of the MACs" in said) == (precision == "int8")
    with torch.inference_mode():
        outputs, expected = session(images(2, 64)), made.model(images(2, 64))
    assert relative_difference(outputs, expected) <= FARTHEST[precision]


def test_int8_that_quantizes_nothing_is_found_out(
    calibrated: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted no-op: the quantizer gives the model back as it was, and the effect says so."""
    with no_telemetry():
        import nncf

    monkeypatch.setattr(nncf, "quantize", lambda model, *args, **options: model)
    session = session_of(make(calibrated, tmp_path, precision="int8"))
    said, *_ = str(session.effect(images(2))).split("; ")  # a processor without INT8 is told of after it
    assert said == f"none: no convolution or linear layer runs in int8 (seen: {RESTS['auto']})"


def test_the_share_in_int8_is_of_the_multiplications(
    calibrated: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The larger of two convolutions stays FP32: half of them run in INT8, but a fifth of the work."""
    with no_telemetry():
        import nncf

    quantize, larger = nncf.quantize, nncf.IgnoredScope(types=["Convolution"])

    def quantize_part(*given: Any, **options: Any) -> Any:
        return quantize(*given, **options, ignored_scope=larger)

    monkeypatch.setattr(nncf, "quantize", quantize_part)
    said = str(session_of(make(calibrated, tmp_path, precision="int8")).effect(images(2)))
    assert said.startswith("int8 convolutions 1/2, linear layers 1/1 ")
    first, second, head = 8 * 16 * 16 * 27, 8 * 7 * 7 * 36, 80
    assert f"{100 * (second + head) / (first + second + head):.3g} % of the MACs" in said


def test_bf16_that_stays_fp32_is_found_out(
    tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted no-op: the plugin is told FP32 where BF16 is claimed."""
    monkeypatch.setitem(_openvino_deploy.HINTS, "bf16", "f32")
    session = session_of(make(tiny, tmp_path, precision="bf16"))
    assert str(session.effect(images(2))).startswith("none: no convolution or linear layer runs in bfloat16")


def test_fp32_is_fp32(tiny: Workload, tmp_path: Path) -> None:
    """Left alone, OpenVINO runs an FP32 file in BF16 where the processor can; here it is told not to."""
    session = session_of(make(tiny, tmp_path))
    compiled = session.request(1).get_compiled_model()
    assert str(compiled.get_property("INFERENCE_PRECISION_HINT")) == "<Type: 'float32'>"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()
    assert str(compiled.get_property("NUM_STREAMS")) == "1"
    assert "float32 convolutions 2/2" in str(session.effect(images(1)))


def test_a_processor_without_the_instructions_is_named(
    calibrated: Workload, tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts alone would read as a gain; and where there are none, that is why."""
    from densebench.machine import facts

    session = session_of(make(tiny, tmp_path, precision="bf16"))
    quantized = session_of(make(calibrated, tmp_path / "int8", precision="int8", rest="bf16"))
    for module in (engine, facts):
        monkeypatch.setattr(module, "cpu_flags", lambda: frozenset({"avx2"}))
    for one in (session, quantized):
        said = str(one.effect(images(1)))
        emulating = "bfloat16" in {layer.precision for layer in layers_of(one)}
        assert f"; the processor has no BF16{', which is emulated' * emulating}" in said
        assert ("the processor has no VNNI" in said) == (one is quantized)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_trace_shows_each_layer_of_a_few_inferences(
    precision: str, calibrated: Workload, tmp_path: Path
) -> None:
    """Chrome events with operator names, one after the other, as many for each inference."""
    session = session_of(make(calibrated, tmp_path, precision=precision))
    everything = session.trace(images(2))
    marks = [event["name"] for event in everything if event["cat"] == "user_annotation"]
    assert marks == [f"ProfilerStep#{step}" for step in range(engine.TRACED)]
    events = [event for event in everything if event["cat"] == "layer"]
    assert sum(event["name"] == "Conv" for event in events) == 2 * engine.TRACED
    assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
    ends = [event["ts"] + event["dur"] for event in events]
    assert [event["ts"] for event in events] == [0.0, *ends[:-1]]
    assert ends[-1] > 0
    convolution = next(event for event in events if event["name"] == "Conv")
    assert convolution["args"].keys() == {"layer", "kernel", "start"}
    assert convolution["args"]["layer"]
    assert convolution["args"]["kernel"]
    with torch.inference_mode():
        assert session(images(2)).shape == (2, CLASSES)


@pytest.mark.parametrize(
    "options",
    [{"precision": "fp32"}, {"precision": "bf16"}, *({"precision": "int8", "rest": rest} for rest in RESTS)],
    ids=str,
)
def test_the_usage_code_runs_without_densebench(
    options: dict[str, str], calibrated: Workload, tmp_path: Path
) -> None:
    """The lines for a deployer give the session's logits in a process that has neither densebench nor PyTorch."""
    made = make(calibrated, tmp_path, **options)
    np.save(tmp_path / "images.npy", images(3).numpy())
    lines = engine.usage(made.built.details)
    assert len(lines.splitlines()) <= 16
    code = (
        "import sys\nfor name in ('densebench', 'torch', 'openvino_telemetry'):\n    sys.modules[name] = None\n"
        f"import numpy\nimages = numpy.load('images.npy')\n{lines}\nnumpy.save('logits.npy', logits)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = session_of(made)(images(3))
    assert relative_difference(torch.from_numpy(np.load(tmp_path / "logits.npy")), expected) <= 1e-6


def test_calibration_says_what_it_lacks(
    tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No images: a skipped row. Too few: bad input. No NNCF: what to install. One line each, before any work."""
    monkeypatch.setattr(engine, "_convert", lambda *args: pytest.fail("worked before it checked"))
    with pytest.raises(Unavailable, match="needs calibration images: give --data a folder"):
        make(tiny, tmp_path, precision="int8")
    with pytest.raises(UsageError, match=r"^1 image to calibrate INT8 with, 8 are needed"):
        make(with_data(tiny, calibration=image_set(images(1), 1)), tmp_path, precision="int8")
    few = with_data(tiny, calibration=image_set(images(15), 15))
    with pytest.raises(UsageError, match=r"^15 images to calibrate INT8 with, 16 are needed"):
        make(few, tmp_path, precision="int8", accuracy_control=True)
    with pytest.raises(UsageError, match=r"^16 images to calibrate INT8 with were asked for, 15 are there: "):
        make(few, tmp_path, precision="int8", calibration=16)
    halves = with_data(tiny, calibration=image_set(images(32), 32))
    with pytest.raises(UsageError, match=r"^17 images to calibrate INT8 with were asked for, 16 are there: "):
        make(halves, tmp_path, precision="int8", accuracy_control=True, calibration=17)
    monkeypatch.setattr(engine.int8, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'densebench\[openvino\]'"):
        make(few, tmp_path, precision="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("bf16+openvino", "write openvino:precision=bf16"),
        ("amp+openvino", "write openvino:precision=bf16"),
        ("quantize+openvino", "write openvino:precision=bf16 or int8"),
        ("dynamic_quantization+openvino", "write openvino:precision=int8"),
        ("openvino:precision=int4", "openvino:precision: "),
        ("openvino:accuracy_control=true", "accuracy_control: needs precision=int8"),
        ("openvino:rest=bf16", "rest: needs precision=int8"),
        ("openvino:precision=bf16:rest=f32", "rest: needs precision=int8"),
        ("openvino:precision=int8:rest=fp32", "rest: "),
        ("openvino:calibration=100", "calibration: needs precision=int8"),
        ("openvino:precision=int8:calibration=0", "calibration: "),
        ("openvino:precision=int8:calibration=2.5", "calibration: "),
        ("openvino:preset=mixed", "preset: needs precision=int8"),
        ("openvino:ranges=histogram", "ranges: needs precision=int8"),
        ("openvino:bias_correction=full", "bias_correction: needs precision=int8"),
        ("openvino:precision=int8:max_drop=2", "max_drop: needs accuracy_control=true"),
        ("openvino:precision=int8:accuracy_control=true:max_drop=0", "max_drop: "),
    ],
)
def test_what_cannot_work_is_refused(recipe: str, reason: str) -> None:
    """Precision before the engine, and options without a meaning, are refused before anything runs."""
    with pytest.raises(UsageError) as refusal:
        resolve(recipe, {})
    assert reason in str(refusal.value)


def test_accuracy_control_keeps_its_hands_off_the_validation_split(tiny: Workload, tmp_path: Path) -> None:
    """It calibrates and checks on different training images, and never reads those that accuracy is reported on."""
    resolve("openvino:precision=int8:accuracy_control=true:max_drop=2", {})
    source = images(32)
    labels = tuple(int(label) for label in tiny.build_model()(source).argmax(1))
    seen: list[int] = []
    training = replace(image_set(source, 32, seen), labels=labels)
    workload = with_data(tiny, calibration=image_set(source, 8), training=training)
    asked = engine.OpenVinoOptions(precision="int8", accuracy_control=True)
    picked = engine.int8.pick(workload.data, asked)
    assert not set(picked.calibration) & set(picked.checked)
    made = make(workload, tmp_path, precision="int8", accuracy_control=True, max_drop=10.0)
    assert set(seen) == set(range(32))
    found = session_of(made)(source).argmax(1)
    assert (
        sum(int(a) == b for a, b in zip(found, labels, strict=True)) >= 28
    )  # of 32, with 10 points on half of them


@pytest.mark.parametrize("rest", RESTS)
def test_the_rest_of_int8_is_told_to_the_plugin(rest: str, calibrated: Workload, tmp_path: Path) -> None:
    """Its hint is the option's, or OpenVINO's own; what was quantized stays INT8 with each."""
    if rest == "bf16" and not NATIVE_BF16:
        pytest.skip("the processor has no BF16")
    made = make(calibrated, tmp_path, precision="int8", rest=rest)
    session = session_of(made)
    hint = str(session.request(1).get_compiled_model().get_property("INFERENCE_PRECISION_HINT"))
    assert hint == f"<Type: '{RESTS[rest]}'>"
    assert str(session.effect(images(1))).startswith("int8 convolutions 2/2, linear layers 1/1")


def test_an_artifact_from_before_there_was_a_rest_stays_as_it_was_measured(
    calibrated: Workload, tmp_path: Path
) -> None:
    """Its layers that aren't quantized run in FP32, here and by the code for a deployer."""
    made = make(calibrated, tmp_path, precision="int8")
    older = {name: value for name, value in made.built.details.items() if name != "rest"}
    session = engine.load(made.folder, older, "cpu")
    hint = session.request(1).get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
    assert str(hint) == "<Type: 'float32'>"
    assert "'INFERENCE_PRECISION_HINT': 'f32'" in engine.usage(older)


def test_as_many_images_are_read_as_were_asked_for(tiny: Workload, tmp_path: Path) -> None:
    """From those set aside, and from all training images if there are too few; 300 unless a number is given."""
    few: list[int] = []
    many: list[int] = []
    source = images(400)
    workload = with_data(tiny, calibration=image_set(source, 320, few), training=image_set(source, 400, many))
    for number, (asked, seen, read) in enumerate(
        [({}, few, 300), ({"calibration": 9}, few, 9), ({"calibration": 330}, many, 330)]
    ):
        make(workload, tmp_path / str(number), precision="int8", **asked)
        assert set(seen) == set(range(read))
        few.clear()
    assert len(set(many)) == 330


def input_range(made: Made) -> tuple[float, float]:
    """The ends of the range that images are quantized in."""
    graph = session_of(made)._graph
    [quantizer] = [
        node
        for node in graph.get_ops()
        if node.get_type_name() == "FakeQuantize"
        and node.input_value(0).get_node().get_type_name() == "Parameter"
    ]
    low, high = (float(node.get_node().data.item()) for node in quantizer.input_values()[1:3])
    return low, high


def test_ranges_come_from_what_was_asked_for(tiny: Workload, tmp_path: Path) -> None:
    """The input's range, against the same statistic of the same images."""
    source = images(64) * torch.linspace(0.5, 3.0, 64).reshape(-1, 1, 1, 1)
    workload = with_data(tiny, calibration=image_set(source, 64))

    def found(ranges: str) -> float:
        made = make(workload, tmp_path / ranges, precision="int8", ranges=ranges)
        return input_range(made)[1]

    most = source.abs().flatten(1).amax(1)
    quantile = source.flatten(1).quantile(1 - 1e-4, dim=1)
    assert found("minmax") == pytest.approx(float(most.max()), rel=1e-3)
    assert found("mean_minmax") == found("auto") == pytest.approx(float(most.mean()), rel=1e-3)
    assert found("median_minmax") == pytest.approx(float(most.quantile(0.5)), rel=1e-3)
    assert found("mean_quantile") == pytest.approx(float(quantile.mean()), rel=1e-2)
    assert 0 < found("histogram") < 0.99 * float(most.max())


def test_a_mixed_preset_has_asymmetric_ranges(tiny: Workload, tmp_path: Path) -> None:
    """Images that are mostly positive get a range that is, too; a symmetric one wastes half of its levels."""
    workload = with_data(tiny, calibration=image_set(images(16) + 3, 16))
    ends = {
        preset: input_range(make(workload, tmp_path / preset, precision="int8", preset=preset))
        for preset in ("performance", "mixed")
    }
    low, high = ends["performance"]
    assert low == pytest.approx(-high, rel=0.01)
    low, high = ends["mixed"]
    assert low > -0.5 * high


def test_full_bias_correction_finds_other_biases(calibrated: Workload, tmp_path: Path) -> None:
    """The ranges are the same, the logits are not; both are near FP32's."""
    made = {
        kind: make(calibrated, tmp_path / kind, precision="int8", bias_correction=kind)
        for kind in ("fast", "full")
    }
    assert input_range(made["fast"]) == input_range(made["full"])
    fast, full = (session_of(one)(images(4)) for one in made.values())
    assert not torch.equal(fast, full)
    with torch.inference_mode():
        assert relative_difference(full, made["full"].model(images(4))) <= FARTHEST["int8"]


def test_accuracy_control_takes_the_other_options(tiny: Workload, tmp_path: Path) -> None:
    """NNCF has names of its own for them there."""
    source = images(64)
    workload = with_data(tiny, calibration=image_set(source, 16), training=image_set(source, 64))
    options = {"precision": "int8", "preset": "mixed", "ranges": "minmax", "calibration": 32}
    made = make(workload, tmp_path, accuracy_control=True, max_drop=99.0, **options)
    low, high = input_range(made)
    calibrated_on = source[::2]
    assert high == pytest.approx(float(calibrated_on.max()), rel=0.05)
    assert low == pytest.approx(float(calibrated_on.min()), rel=0.05)


def test_the_build_is_silent(calibrated: Workload, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """NNCF's progress bars and remarks stay out of the run's output."""
    make(calibrated, tmp_path, precision="int8")
    assert capfd.readouterr().out == ""


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    """Importing the libraries through the engine neither loads their telemetry nor writes its files at home."""
    assert version("openvino-telemetry"), "not installed: this test shows nothing"
    code = """
import sys
from densebench.engines._openvino_telemetry import no_telemetry
with no_telemetry():
    import openvino, nncf
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""
    environment = {
        key: value for key, value in os.environ.items() if key not in {"CI", "TF_BUILD", "JENKINS_URL"}
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not (tmp_path / "intel").exists()


def test_two_sessions_run_beside_each_other(calibrated: Workload, tmp_path: Path) -> None:
    """Sessions of two precisions, called in turn, don't disturb each other; closing one leaves the other."""
    folders = [tmp_path / precision for precision in ("fp32", "int8")]
    for folder in folders:
        folder.mkdir()
    made = [make(calibrated, folder, precision=folder.name) for folder in folders]
    alone = [session_of(each)(images(2)) for each in made]
    sessions = [session_of(each) for each in made]
    for _ in range(2):
        for session, expected in zip(sessions, alone, strict=True):
            assert torch.equal(session(images(2)), expected)
    sessions[0].close()
    sessions[0].close()
    assert torch.equal(sessions[1](images(2)), alone[1])


def test_a_result_stays_what_it_was(tiny: Workload, tmp_path: Path) -> None:
    """Logits that a caller holds aren't overwritten by the next call."""
    session = session_of(make(tiny, tmp_path))
    held = session(images(2))
    copy = held.clone()
    other = session(images(2, seed=8))
    assert torch.equal(held, copy)
    assert not torch.equal(held, other)


def test_images_are_read_where_they_lie(tiny: Workload, tmp_path: Path) -> None:
    """Contiguous images aren't copied; others are, and give the same."""
    session = session_of(make(tiny, tmp_path))
    lying = images(2)
    expected = session(lying)
    assert session.request(2).get_input_tensor().data.ctypes.data == lying.data_ptr()
    assert torch.equal(session(lying.to(memory_format=torch.channels_last)), expected)


def test_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for the CPU, and says what to install; the artifact holds no code."""
    assert engine.unavailable("cpu") is None
    assert engine.unavailable("cuda") == "OpenVINO runs on the CPU here: --device cpu"
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    assert engine.unavailable("cpu") == "pip install 'densebench[openvino]'"
    assert not engine.ENGINE.contains_code
