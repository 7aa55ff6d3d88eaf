"""Profiler traces, summed by operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from densebench.report.operators import KINDS, OUTSIDE, read_operators
from densebench.viewer.categories import category_of


def event(name: str, start: float, duration: float, category: str = "cpu_op", **more: Any) -> dict[str, Any]:
    """A Chrome trace event; times in microseconds."""
    facts = {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": 1, "ts": start, "dur": duration}
    return facts | more


STEPS = [  # two inferences: 1000 us each, of which the convolution takes 600 and the copy inside it 100
    one
    for start in (0, 2000)
    for one in (
        event(f"ProfilerStep#{start // 2000}", start, 1000, "user_annotation"),
        event("aten::conv2d", start + 100, 600),
        event("aten::to", start + 150, 100),
        event("aten::empty", start + 300, 50),
        event("aten::relu", start + 750, 150),
    )
]


def written(path: Path, events: list[dict[str, Any]], cut: int = 0) -> Path:
    """A trace file, without its last `cut` characters."""
    text = json.dumps({"schemaVersion": 1, "deviceProperties": [{"id": 0}], "traceEvents": events})
    path.write_text(text[: len(text) - cut])
    return path


def test_self_time_of_one_inference(tmp_path: Path) -> None:
    """Nested time counts once: an allocation for the operator around it, a copy for itself, the gaps as other."""
    read = read_operators(written(tmp_path / "a.json", STEPS))
    assert read is not None
    assert read.by_kind == pytest.approx(
        {"convolution": 0.5, "normalization": 0, "concatenation": 0, "copies": 0.1, "other": 0.4}
    )
    assert read.by_operator["aten::conv2d"] == pytest.approx(0.45)
    assert read.by_operator[OUTSIDE] == pytest.approx(0.25)
    assert read.whole


def test_kernels_are_of_the_kind_of_what_launched_them(tmp_path: Path) -> None:
    """On a GPU the kernels' time is the model's, whatever the host did meanwhile, and waiting is nobody's."""
    link = {"args": {"External id": 7}}
    stream = {"pid": 0, "tid": 7}  # kernels have lanes of their own
    events = [
        event("ProfilerStep#0", 0, 900, "user_annotation"),
        event("aten::cudnn_convolution", 0, 20, **link),
        event("sm80_xmma_gemm", 500, 300, "kernel", **stream, **link),
        event("Memcpy HtoD", 800, 40, "gpu_memcpy", **stream),
    ]
    read = read_operators(written(tmp_path / "a.json", events))
    assert read is not None
    assert read.by_operator == pytest.approx({"sm80_xmma_gemm": 0.3, "Memcpy HtoD": 0.04})
    assert (read.by_kind["convolution"], read.by_kind["copies"]) == pytest.approx((0.3, 0.04))


def test_layers_without_marked_steps(tmp_path: Path) -> None:
    """An engine's own events are of as many inferences as its first layer is seen."""
    layers = [("Conv", "stem"), ("Concat", "join"), ("Conv", "head")]
    events = [
        event(name, 100 * index, 80, "layer", args={"layer": layer})
        for index, (name, layer) in enumerate(layers * 2)
    ]
    read = read_operators(written(tmp_path / "a.json", events))
    assert read is not None
    assert read.by_operator == pytest.approx({"Conv": 0.16, "Concat": 0.08, OUTSIDE: 0.04})


def test_a_file_cut_short_tells_what_it_holds(tmp_path: Path) -> None:
    """The whole events of a damaged file count, and it is known to be incomplete."""
    read = read_operators(written(tmp_path / "a.json", STEPS[:5], cut=30))
    assert read is not None
    assert not read.whole
    assert read.by_operator["aten::conv2d"] == pytest.approx(0.45)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no trace", '{"traceEvents": []}', '{"traceEvents": [7, null]}']
)
def test_no_operators(tmp_path: Path, text: str) -> None:
    """What is no trace, or holds no operator, is nothing; so is a file that does not exist."""
    (tmp_path / "a.json").write_text(text)
    assert read_operators(tmp_path / "a.json") is None
    assert read_operators(tmp_path / "b.json") is None


def test_long_files_are_read_in_pieces(tmp_path: Path) -> None:
    """Events that lie across the borders of what is read at once are whole."""
    many = [event("aten::batch_norm", 10 * i, 5, args={"shape": "x" * 1000}) for i in range(3000)]
    read = read_operators(written(tmp_path / "a.json", many))
    assert read is not None
    assert read.by_kind["normalization"] == pytest.approx(15)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("QLinearConv", "convolution"),
        ("ConvertLike", "copies"),
        ("aten::native_batch_norm", "normalization"),
        ("BatchNormalization", "normalization"),
        ("aten::cat", "concatenation"),
        ("CatArrayBatchedCopy", "concatenation"),
        ("Concat", "concatenation"),
        ("aten::_to_copy", "copies"),
        ("aten::to", "copies"),
        ("aten::to_dense", "copies"),
        ("Reorder", "copies"),
        ("DequantizeLinear", "copies"),
        ("aten::relu", "other"),
        ("aten::topk", "other"),
        ("category", "other"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    """The frameworks' names fall into the kinds that a reader expects."""
    assert KINDS[category_of(name)] == kind
