"""Attention multiplies tensors that the model computes, and counts in every total and share of multiplications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer

from densebench import engines
from densebench.engines import _exported, _onnx_observe, _openvino_layers, aot_inductor
from densebench.engines.base import Session, Target
from densebench.machine.facts import emulated
from densebench.model.adapter import Served, served
from densebench.model.inspection import describe_effect, observe
from densebench.techniques.dynamic_quantization import dynamic_quantization
from densebench.workloads.base import ImageSet, Workload
from tests.small import CLASSES, images, tiny_workload

SIZE, WIDTH, HEADS, HIDDEN = 32, 64, 4, 128
TOKENS = (SIZE // 8) ** 2 + 1
PRODUCTS = 2 * TOKENS * TOKENS * WIDTH  # of queries and keys, and of the result and the values
PROJECTIONS = 4 * TOKENS * WIDTH * WIDTH
HIDDEN_LAYERS = 2 * TOKENS * WIDTH * HIDDEN
STEM, HEAD = (TOKENS - 1) * WIDTH * 3 * 8 * 8, WIDTH * CLASSES
TOTAL = PRODUCTS + PROJECTIONS + HIDDEN_LAYERS + STEM + HEAD
ONNX = pytest.mark.skipif(not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))), reason="needs ONNX")
OPENVINO = pytest.mark.skipif(not all(map(find_spec, ("openvino", "nncf"))), reason="needs OpenVINO")


def transformer() -> Served:
    """A vision transformer of one layer, whose attention is `nn.MultiheadAttention`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = VisionTransformer(SIZE, 8, 1, HEADS, WIDTH, HIDDEN, num_classes=CLASSES)
        nn.init.normal_(core.heads.head.weight)  # zeros, as they are constructed
    return served(core).requires_grad_(requires_grad=False)


def windows() -> Served:
    """A Swin transformer of two layers, whose attention is written out in products of matrices."""
    core = SwinTransformer([4, 4], 32, [2], [2], [4, 4], num_classes=CLASSES)
    return served(core).requires_grad_(requires_grad=False)


def workload_of(model: Served) -> Workload:
    """The model with images to calibrate it on."""

    def read(positions: Sequence[int]) -> Tensor:
        return images(64, SIZE)[list(positions)]

    tiny = tiny_workload()
    data = replace(tiny.data, calibration=ImageSet((0,) * 64, read))
    return replace(tiny, image_size=SIZE, data=data, build_model=lambda: model)


def session_of(engine: str, folder: Path, **options: Any) -> Session:
    """The transformer, built and loaded."""
    model, what = transformer(), engines.catalogue()[engine]
    checked = what.options.model_validate(options).model_dump()
    built = what.build(model, workload_of(model), folder, Target("cpu", (2,), 1), **checked)
    return what.load(folder, built.details, "cpu")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("fused", [True, False])
def test_attention_counts(batch: int, *, fused: bool) -> None:
    """On a CPU, whether PyTorch would take its fused operator or not; that setting is as it was afterwards."""
    model, before = transformer(), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        assert observe(model.core, model, images(batch, SIZE)).macs.total() == TOTAL
        assert torch.backends.mha.get_fastpath_enabled() is fused
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def test_what_attention_reads_and_writes_counts() -> None:
    """Each token ten times over: the projections' inputs and outputs, and queries, keys, values and their result."""
    found = observe((one := transformer()).core, one, images(1, SIZE)).activations
    layers = (WIDTH + HIDDEN) * 2 * TOKENS + 3 * SIZE * SIZE + (TOKENS - 1) * WIDTH + WIDTH + CLASSES
    assert found == layers + 10 * TOKENS * WIDTH


def test_attention_in_fp32_is_no_int8() -> None:
    """The share in INT8 is of all multiplications, and has products of integers that no layer's call computes."""
    model = dynamic_quantization(transformer())
    assert isinstance(model, Served)
    (said,) = describe_effect(model.core, observe(model.core, model, images(1, SIZE)))
    assert said == f"int8 linear layers 3/3, {100 * (HIDDEN_LAYERS + HEAD) / TOTAL:.2g} % of the MACs"
    model = dynamic_quantization(windows())
    assert isinstance(model, Served)
    seen = observe(model.core, model, images(1, SIZE))
    attention = 2 * 2 * (SIZE // 4) ** 2 * 16 * 32  # two layers, each token with the 16 of its window
    assert (seen.macs["other"], seen.macs["float32"]) == (attention, (SIZE // 4) ** 2 * 32 * 3 * 16)


@pytest.mark.parametrize("make", [transformer, windows])
def test_an_exported_program_has_all_products(make: Any) -> None:
    """As many multiplications as the model that it was made from, attention's among them."""
    model = make()
    with torch.backends.nnpack.flags(enabled=False), torch.no_grad():
        found = _exported.layers(aot_inductor.exported(model, images(2, SIZE)))
    assert sum(map(_exported.macs, found)) == 2 * observe(model.core, model, images(2, SIZE)).macs.total()
    assert _exported.quantized(found)["macs_share"] == 0


@ONNX
def test_onnx_runtime_runs_all_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nodes have as many multiplications as the model."""
    ran: list[_onnx_observe.Node] = []
    describe = _onnx_observe.describe
    monkeypatch.setattr(
        _onnx_observe, "describe", lambda nodes, **more: (ran.extend(nodes), describe(nodes, **more))[1]
    )
    session_of("onnx", tmp_path).effect(images(2, SIZE))
    assert sum(node.macs for node in ran) == TOTAL


@OPENVINO
def test_openvinos_share_in_int8_is_of_all_products(tmp_path: Path) -> None:
    """Attention's own products are one operation, of which it isn't known what they run in."""
    session: Any = session_of("openvino", tmp_path, precision="int8")
    said = str(session.effect(images(2, SIZE)))
    assert sum(_openvino_layers.macs(session._graph).values()) == 2 * TOTAL
    assert f"{100 * (1 - PRODUCTS / TOTAL):.3g} % of the MACs" in said


@OPENVINO
def test_what_attention_runs_in_is_told(tmp_path: Path) -> None:
    """Of an INT8 model it is the rest: FP32 if that is asked for; else BF16, or FP32 by OpenVINO's own choice."""
    said = {}
    for rest in ("auto", "f32", "bf16"):
        session = session_of("openvino", tmp_path / rest, precision="int8", rest=rest)
        said[rest] = str(session.effect(images(2, SIZE)))
        assert said[rest].startswith("int8 convolutions 1/1, linear layers ")
        session.close()
    assert said["f32"].partition("; other layers ")[2] == "float32"
    native = emulated("bfloat16", "cpu") is None
    assert ("bfloat16" in said["auto"].partition("; other layers ")[2]) == native
    if native:
        assert said["bf16"] == said["auto"]
    else:
        assert "the processor has no BF16" in said["bf16"]
