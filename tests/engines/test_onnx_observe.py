"""What is said of the nodes that ONNX Runtime ran, and where; TensorRT's part with a session that isn't there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnxruntime as runtime
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as problems

from densebench.engines import onnxruntime
from densebench.engines._onnx_observe import COMPILES, CPU, Node, describe
from densebench.engines.base import Target
from densebench.model.adapter import served
from tests.small import CLASSES, images, tiny_model, tiny_workload

CUDA = "CUDAExecutionProvider"
CONV, INT8 = "Conv", "QLinearConv"
PART = Node("TRTKernel_graph_main_graph_123_0", COMPILES)
FP32 = "optimized graph: {} convolutions, 0 nodes with their activation fused, 0 batch norms left"
PARTS = "{} of the graph compiled by TensorRT, {} convolutions outside"
UNSEEN = "{}; int8 was asked for, which TensorRT doesn't show here"
MIXED = f"2/4 nodes in {COMPILES}, 1 in {CUDA}, 1 fell back to {CPU}"


def of(operator: str, provider: str, count: int = 1) -> list[Node]:
    """Nodes of 10 multiply-accumulates each."""
    return [Node(operator, provider, 10)] * count


@pytest.mark.parametrize(
    ("ran", "int8", "asked", "said"),
    [
        (of(CONV, CPU, 3), False, CPU, FP32.format(3)),
        (of(CONV, CPU, 3), True, CPU, "none: no convolution or linear layer ran in INT8"),
        (
            of(CONV, CPU) + of(INT8, CPU, 3),
            True,
            CPU,
            "int8 convolutions 3/4, 75 % of the MACs; 0 casts to or from FP32",
        ),
        (of(CONV, CUDA, 3), False, CUDA, f"{FP32.format(3)}; 3/3 nodes in {CUDA}"),
        (
            of(CONV, CPU) + of(CONV, CUDA, 2),
            False,
            CUDA,
            f"{FP32.format(3)}; 2/3 nodes in {CUDA}, 1 fell back to {CPU}",
        ),
        (of(CONV, CPU, 3), False, CUDA, f"none: all 3 nodes fell back to {CPU}"),
        (of(CONV, CPU, 3), False, COMPILES, f"none: all 3 nodes fell back to {CPU}"),
        (of(INT8, CPU, 3), True, COMPILES, f"none: all 3 nodes fell back to {CPU}"),
        (
            of(CONV, CPU) + of(CONV, CUDA, 2),
            False,
            COMPILES,
            f"none: all 3 nodes fell back, 2 to {CUDA} and 1 to {CPU}",
        ),
        ([], False, CUDA, "none: no node was seen to run"),
        (
            [PART],
            False,
            COMPILES,
            f"{PARTS.format('1 part', 0)}; 1/1 nodes in {COMPILES}",
        ),
        (
            [PART, *of(CONV, CUDA, 299)],
            False,
            COMPILES,
            f"{PARTS.format('1 part', 299)}; 1/300 nodes in {COMPILES}, 299 in {CUDA}",
        ),
        (
            [PART, PART, *of("Add", CUDA), *of("Shape", CPU)],
            True,
            COMPILES,
            f"{UNSEEN.format(PARTS.format('2 parts', 0))}; {MIXED}",
        ),
    ],
)
def test_each_provider_is_told_for_itself(ran: list[Node], int8: bool, asked: str, said: str) -> None:  # noqa: FBT001
    """What was asked for and didn't run is no effect, and CUDA's nodes are not TensorRT's."""
    assert str(describe(ran, int8=int8, asked=asked)) == said


class Compiled:
    """A session of which TensorRT compiled the whole graph: it runs, but refuses to be saved."""

    loaded: list[bool] = []  # noqa: RUF012 - whether TensorRT's package was imported, for each session

    def __init__(self, path: Path, options: Any, providers: list[Any], enable_fallback: int) -> None:
        if COMPILES in providers and options.optimized_model_filepath:
            raise problems.Fail("Unable to serialize model as it contains compiled nodes")
        self.loaded.append(sys.modules.get("tensorrt") is not None)
        self.profile = options.profile_file_prefix

    def get_providers(self) -> list[str]:
        return [COMPILES, CUDA, CPU]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(shape=["batch", CLASSES])]

    def io_binding(self) -> SimpleNamespace:
        return SimpleNamespace(bind_input=lambda *tensor: None, bind_output=lambda *tensor: None)

    def run_with_iobinding(self, binding: SimpleNamespace) -> None:
        pass

    def end_profiling(self) -> str:
        seen = {"op_name": PART.operator, "provider": PART.provider}
        event = {"cat": "Node", "name": f"{COMPILES}_{PART.operator}_kernel_time", "args": seen}
        path = Path(f"{self.profile}.json")
        path.write_text(json.dumps([{"cat": "Session", "name": "model_run", "args": {}}, event]))
        return str(path)


@pytest.mark.parametrize("installed", [True, False])
def test_what_tensorrt_compiled_is_seen_without_saving_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: bool,  # noqa: FBT001
) -> None:
    """By the profiler alone; its package, whose import loads the libraries, comes before the session."""
    built = onnxruntime.build(served(tiny_model()), tiny_workload(), tmp_path, Target("cpu", (2,), 1))
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "tensorrt.py").write_text("")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # as if there were none
    if installed:
        del sys.modules["tensorrt"]  # what the engine imports in its place goes with the patch
    monkeypatch.setattr(runtime, "InferenceSession", Compiled)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(synchronize=lambda: None))
    Compiled.loaded.clear()

    session = onnxruntime.load(tmp_path, {**built.details, "provider": "tensorrt"}, "cuda")
    assert str(session.effect(images(2))) == (f"{PARTS.format('1 part', 0)}; 1/1 nodes in {COMPILES}")
    assert Compiled.loaded == [installed] * 2
    assert isinstance(sys.modules["tensorrt"], ModuleType) == installed
