"""Engines that start from a user's ONNX file: they answer as the file does, in FP32 and close to it in INT8."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch

from densebench import engines
from densebench.engines import _tensorrt_graph
from densebench.engines._onnx_export import INPUT, OUTPUT
from densebench.engines._onnx_file import save_graph
from densebench.engines.base import Session, Target
from densebench.errors import Unavailable
from densebench.model.fidelity import relative_difference
from densebench.recipes import parse
from densebench.workloads import Workload, WorkloadRequest, open_workload
from tests.onnx_models import SIZE, classifier
from tests.small import images

ABLE = ("onnx", "openvino")  # and TensorRT, which needs its GPU


def opened(path: Path, data: str = "digits") -> Workload:
    """The file as a workload."""
    return open_workload(WorkloadRequest(model=str(path), data=data))


def built(workload: Workload, line: str, folder: Path, batch_size: int = 2) -> Session:
    """The file in an engine, loaded from what was saved."""
    engine = parse.resolve(line, {}).engine
    folder.mkdir(parents=True)
    made = engine.what.build(
        workload.onnx_file, workload, folder, Target("cpu", (batch_size,), 1), **engine.options
    )
    return engine.what.load(folder, json.loads(json.dumps(made.details)), "cpu")


@pytest.mark.parametrize("name", ABLE)
def test_answers_are_the_file_s(tmp_path: Path, name: str) -> None:
    """Each engine gives the file's logits at any batch size, and INT8 stays close to them."""
    workload = opened(classifier(tmp_path / "my.onnx"))
    for line, most in ((name, engines.catalogue()[name].tolerance), (f"{name}:precision=int8", 0.2)):
        session = built(workload, line, tmp_path / line.replace(":", "_"))
        for size in (1, 3):
            inputs = images(size, SIZE)
            assert relative_difference(session(inputs), workload.onnx_file.run(inputs)) < most
        assert ("int8 convolutions 1/1" in str(session.effect(images(2, SIZE)))) == ("int8" in line)
        session.close()


@pytest.mark.parametrize("name", ABLE)
def test_a_fixed_batch_stays_fixed(tmp_path: Path, name: str) -> None:
    """A file of batch 1 is calibrated and run at 1; one of batch 4 runs at 4 and can't be calibrated."""
    one = opened(classifier(tmp_path / "one.onnx", (1, 3, SIZE, SIZE)))
    session = built(one, f"{name}:precision=int8", tmp_path / "one", 1)
    inputs = images(1, SIZE)
    assert relative_difference(session(inputs), one.onnx_file.run(inputs)) < 0.2
    four = opened(classifier(tmp_path / "four.onnx", (4, 3, SIZE, SIZE)))
    inputs = images(4, SIZE)
    session = built(four, name, tmp_path / "four", 4)
    assert relative_difference(session(inputs), four.onnx_file.run(inputs)) < 1e-4
    with pytest.raises(Unavailable, match=r"four\.onnx takes batches of 4"):
        built(four, f"{name}:precision=int8", tmp_path / "four-int8", 4)


def test_names_are_made_plain(tmp_path: Path) -> None:
    """Names that mean something else in the file, and weights among its inputs, don't reach the artifact."""
    path = classifier(tmp_path / "odd.onnx", names=(OUTPUT, INPUT, "scores"), weights_as_inputs=True)
    workload = opened(path, "none")
    save_graph(workload.onnx_file, workload.input_shape, tmp_path / "plain.onnx")
    graph = onnx.load(tmp_path / "plain.onnx").graph
    assert [value.name for value in (*graph.input, *graph.output)] == [INPUT, OUTPUT]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert len({node.name for node in graph.node} - {""}) == len(graph.node)
    session = built(workload, "onnx", tmp_path / "made")
    inputs = images(2, SIZE)
    assert relative_difference(session(inputs), workload.onnx_file.run(inputs)) < 1e-6


def test_weights_beside_the_file_move_into_the_artifact(tmp_path: Path) -> None:
    """The artifact is whole without the user's files."""
    workload = opened(classifier(tmp_path / "big.onnx", beside="big.data"), "none")
    inputs = images(2, SIZE)
    expected = workload.onnx_file.run(inputs)
    session = built(workload, "onnx", tmp_path / "made")
    (tmp_path / "big.data").unlink()
    assert torch.equal(session(inputs), expected)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["model.onnx"]


def test_what_cannot_be_quantized_says_so(tmp_path: Path) -> None:
    """Old operators and files in INT8 already are reasons to skip."""
    old = opened(classifier(tmp_path / "old.onnx", opset=11))
    with pytest.raises(Unavailable, match=r"opset 13, old\.onnx has 11"):
        built(old, "onnx:precision=int8", tmp_path / "old")
    assert built(old, "onnx", tmp_path / "old-fp32")(images(1, SIZE)).shape == (1, 10)
    built(opened(classifier(tmp_path / "my.onnx")), "onnx:precision=int8", tmp_path / "int8")
    again = opened(tmp_path / "int8" / "model.onnx")
    with pytest.raises(Unavailable, match="quantized already"):
        built(again, "openvino:precision=int8", tmp_path / "again")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_takes_the_graph(tmp_path: Path, precision: str) -> None:
    """The network that a plan is built from is the file's, in the plan's precision."""
    workload = opened(classifier(tmp_path / "my.onnx"))
    graph = _tensorrt_graph.graph_of(workload.onnx_file, workload, (1, 2), precision)
    assert ("QuantizeLinear" in graph.operators.values()) == (precision == "int8")
    (tmp_path / "graph.onnx").write_bytes(graph.content)
    again = open_workload(WorkloadRequest(model=str(tmp_path / "graph.onnx"), data="none"))
    inputs = images(2, SIZE)
    assert relative_difference(again.onnx_file.run(inputs), workload.onnx_file.run(inputs)) < 0.2


def test_recipes_that_need_a_module_say_so() -> None:
    """Techniques that change a PyTorch model don't fit; those that act on the process do."""
    where = "my.onnx runs in onnx, openvino, tensorrt"
    for line, said in (
        ("channels_last", f"channels_last changes a PyTorch model; {where}"),
        ("pruning+onnx", f"pruning changes a PyTorch model; {where}"),
        ("eager", f"eager runs PyTorch models; {where}"),
        ("threads:count=1+jit", f"jit runs PyTorch models; {where}"),
        ("threads:count=1+onnx", None),
        ("openvino", None),
    ):
        assert parse.resolve(line, {}).unfit("my.onnx") == said


def test_int8_without_images_is_skipped(tmp_path: Path) -> None:
    """A file brings no calibration images."""
    workload = opened(classifier(tmp_path / "my.onnx"), "none")
    with pytest.raises(Unavailable, match="calibration images"):
        built(workload, "onnx:precision=int8", tmp_path / "made")
