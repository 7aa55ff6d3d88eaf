"""A trace file as columns: steps, lanes, kinds of work, memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from densebench.viewer.categories import Category, category_of
from densebench.viewer.parsing import parse
from densebench.viewer.reading import NoTrace
from densebench.viewer.trace import Trace
from tests.viewer.making import BASE_US, allocation, call, layers, network, on_gpu, parsed, step, write


def kinds(trace: Trace, name: str) -> set[Category]:
    """The kinds of work that calls of a name were put into."""
    which = np.array(trace.names)[trace.name] == name
    return {Category(kind) for kind in trace.category[which]}


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("aten::mkldnn_convolution", Category.CONVOLUTION),
        ("QLinearConv", Category.CONVOLUTION),
        ("void cudnn::cnn::implicit_convolve_sgemm<float>", Category.CONVOLUTION),
        ("sm80_xmma_fprop_implicit_gemm_f32f32", Category.CONVOLUTION),
        ("aten::native_batch_norm", Category.NORMALIZATION),
        ("BatchNormalization", Category.NORMALIZATION),
        ("void cudnn::bn_fw_inf_1C11_kernel", Category.NORMALIZATION),
        ("aten::cat", Category.CONCATENATION),
        ("Concat", Category.CONCATENATION),
        ("void at::native::CatArrayBatchedCopy<float>", Category.CONCATENATION),
        ("aten::copy_", Category.COPIES),
        ("aten::_to_copy", Category.COPIES),
        ("aten::to", Category.COPIES),
        ("aten::to_mkldnn", Category.COPIES),
        ("Reorder", Category.COPIES),
        ("Convert", Category.COPIES),
        ("Cast", Category.COPIES),
        ("DequantizeLinear", Category.COPIES),
        ("Memcpy HtoD (Pageable -> Device)", Category.COPIES),
        ("triton_poi_fused__native_batch_norm_legit_no_training_cat_relu_3", Category.NORMALIZATION),
        ("triton_poi_fused_convolution_relu_0", Category.OTHER),
        ("aten::relu_", Category.OTHER),
        ("aten::normal_", Category.OTHER),
        ("aten::topk", Category.OTHER),
        ("broadcast_kernel", Category.OTHER),
    ],
)
def test_names_tell_the_kind_of_work(name: str, category: Category) -> None:
    """PyTorch's operators, kernels, and other engines' layers."""
    assert category_of(name) is category


def test_helpers_count_as_what_calls_them(tmp_path: Path) -> None:
    """`aten::empty` in a convolution is the convolution's; a copy in it is a copy; alone it is neither."""
    events = [
        step(0, 0, 1000),
        call("aten::conv2d", 10, 400),
        call("aten::empty", 20, 50),
        call("aten::copy_", 100, 50),
        call("aten::as_strided", 110, 10),
        call("aten::relu", 500, 50),
    ]
    trace = parsed(tmp_path, events)
    assert kinds(trace, "aten::empty") == {Category.CONVOLUTION}
    assert kinds(trace, "aten::copy_") == kinds(trace, "aten::as_strided") == {Category.COPIES}
    assert kinds(trace, "aten::relu") == {Category.OTHER}
    assert kinds(trace, "ProfilerStep#0") == {Category.OUTSIDE}


def test_marked_steps(tmp_path: Path) -> None:
    """Calls belong to the step they begin in; what lies before, between and after belongs to none."""
    around = [call("aten::before", -50, 20), call("aten::after", 10_000, 20)]
    trace = parsed(tmp_path, [*around, *network(steps=2)])
    assert trace.step_source == "marks"
    assert trace.step_count == 2
    names = np.array(trace.names)[trace.name]
    assert set(trace.step[names == "aten::conv2d"]) == {0, 1}
    assert set(trace.step[(names == "aten::before") | (names == "aten::after")]) == {-1}
    assert trace.own.sum() == pytest.approx(trace.duration[trace.depth == 0].sum()), (
        "own times add up to the outermost calls"
    )


def test_steps_without_marks_begin_with_the_first_layer(tmp_path: Path) -> None:
    """An engine that gives layers alone."""
    trace = parsed(tmp_path, layers(steps=3))
    assert trace.step_source == "layers"
    assert trace.step_ms.tolist() == pytest.approx([0.23] * 3)
    assert trace.layers[0] == "conv0"


def test_a_trace_without_any_hint_is_one_step(tmp_path: Path) -> None:
    """It is said where the steps come from."""
    trace = parsed(tmp_path, [call("work", 0, 100), call("work", 200, 100)])
    assert (trace.step_source, trace.step_count, trace.step_ms.tolist()) == ("whole", 1, [0.3])


def test_kernels_run_on_lanes_of_their_own(tmp_path: Path) -> None:
    """They count for the step that launched them, and as the work that launched them where their name says none."""
    trace = parsed(tmp_path, on_gpu())
    assert sorted(trace.on_device) == [False, True]
    assert trace.on_device[trace.main] is False
    assert kinds(trace, "ampere_sgemm_128x64_nn") == {Category.CONVOLUTION}
    assert kinds(trace, "void at::native::CatArrayBatchedCopy<float>") == {Category.CONCATENATION}
    device = trace.device_event
    assert trace.step[device].tolist() == [0, 0, 1, 1]
    assert trace.own[device].tolist() == [500_000, 100_000] * 2, "the mark over the stream owns nothing"


def test_memory_is_kept_with_what_ran(tmp_path: Path) -> None:
    """Both memories, each change with the call that began last before it."""
    on_card = {"Device Type": 1, "Device Id": 0}
    events = [
        call("aten::conv2d", 0, 100),
        allocation(5, 64, 64),
        allocation(6, 32, 32, **on_card),
        allocation(50, -64, 0),
    ]
    trace = parsed(tmp_path, events)
    assert trace.devices == ("host memory", "device 0 memory")
    assert trace.memory_total.tolist() == [64, 32, 0]
    assert trace.memory_device.tolist() == [0, 1, 0]
    assert trace.memory_event.tolist() == [0, 0, 0]


def test_odd_events_are_left_out_and_counted(tmp_path: Path) -> None:
    """No event of a foreign tool stops the viewer."""
    odd = [
        call("x", 0, 1) | {"ts": "soon"},
        call("x", 0, -1),
        call("x", 0, 1) | {"dur": None},
        call("x", 0, 1) | {"ts": 1e30},
        call("x", 0, 1) | {"pid": ["a list"]},
        {"ph": "X"},
        allocation(0, 1, 1) | {"args": {"Total Allocated": 10**30}},
    ]
    trace = parsed(
        tmp_path, [*odd, call("work", 0, 100), {"ph": "X", "name": "no args", "ts": BASE_US, "dur": 1}]
    )
    assert trace.notes == ("7 events have no usable time and are left out.",)
    assert {trace.names[one] for one in trace.name} == {"work", "no args"}


@pytest.mark.parametrize("text", ['{"traceEvents": []}', '{"traceEvents": [{"ph": "M", "name": "x"}]}', "[]"])
def test_a_trace_without_calls_is_none(tmp_path: Path, text: str) -> None:
    """There is nothing to show."""
    with pytest.raises(NoTrace, match="no call"):
        parse(write(tmp_path / "x.pt.trace.json", [], text))


def test_shapes_in_words(tmp_path: Path) -> None:
    """Of tensors, of lists of tensors, and with types."""
    seen = {
        "a": {"Input Dims": [[8, 3, 32, 32], [], [64]]},
        "b": {"Input Dims": [[[8, 64], [8, 32]], []]},
        "c": {"Input Dims": [[[8, 1]] * 7]},
        "d": {"input shapes": [{"float": [8, 3]}, {"int8": [3]}]},
    }
    trace = parsed(tmp_path, [call(name, at, 5, args=args) for at, (name, args) in enumerate(seen.items())])
    assert trace.shapes == ("8x3x32x32, 64", "[8x64, 8x32]", "[8x1, 8x1, 8x1, … 7 in all]", "8x3, 3")


def test_columns_come_back_from_a_file(tmp_path: Path) -> None:
    """Every array and every text, and nothing is unpickled."""
    trace = parsed(tmp_path, [*network(), *on_gpu()])
    trace.save(tmp_path / "kept.npz")
    back = Trace.load(tmp_path / "kept.npz")
    for name, value in vars(trace).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, getattr(back, name)), name
        elif name != "rows":
            assert value == getattr(back, name), name
    np.savez(tmp_path / "evil.npz", text=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Trace.load(tmp_path / "evil.npz")
