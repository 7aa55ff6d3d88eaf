"""What the views say of a trace: sums that agree, and sentences with their evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from densebench.viewer.comparison import Side, compare
from densebench.viewer.memory import memory
from densebench.viewer.timeline import timeline
from densebench.viewer.views import operators, overview, splits
from tests.viewer.making import allocation, call, gpu, layers, network, on_gpu, parsed, step

CALLS = st.lists(
    st.tuples(
        st.sampled_from(["aten::cat", "aten::conv2d", "aten::relu", "aten::copy_"]),
        st.integers(0, 900),
        st.integers(1, 300),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS)
def test_parts_and_operators_add_up_to_the_step(tmp_path: Path, calls: list[tuple[str, int, int]]) -> None:
    """Whatever runs when: every moment of the step is in one part, and in one operator or in none."""
    events = [call(name, at, min(dur, 1000 - at)) for name, at, dur in calls]
    trace = parsed(tmp_path, [step(0, 0, 1000), *events])
    (split,) = splits(trace)
    parts = {part["label"]: part["ms"] for part in split["parts"]}
    assert sum(parts.values()) == pytest.approx(1.0)
    assert sum(part["share"] for part in split["parts"]) == pytest.approx(1.0)
    inside = sum(row["own_ms"] for row in operators(trace))
    assert inside == pytest.approx(1.0 - parts["outside operators"])
    by_shape = operators(trace, by_shape=True)
    assert sum(row["own_ms"] for row in by_shape) == pytest.approx(inside)


def test_overview_of_a_network(tmp_path: Path) -> None:
    """The figures are those that the trace was made with, per step."""
    found = overview(parsed(tmp_path, network(convolution_us=300, norm_us=60, blocks=4)))
    parts = {part["label"]: part["ms"] for part in found["splits"][0]["parts"]}
    assert parts["convolution"] == pytest.approx(4 * 0.302)  # 300, 302 and 304 microseconds
    assert parts["normalization"] == pytest.approx(4 * 0.062)
    assert parts["concatenation"] == pytest.approx(4 * 0.030)
    assert parts["copies and conversions"] == 0
    assert parts["other operators"] == pytest.approx(4 * 0.012)
    assert found["top"][0]["name"] == "aten::mkldnn_convolution"
    said = " ".join(found["sentences"])
    assert "A step takes 1.69 ms" in said
    assert "in 3 steps" in said
    assert "convolution 7" in said
    assert "aten::mkldnn_convolution takes the most time of its own: 1.18 ms in 4 calls a step." in said
    assert "at most 4.19 MB, inside aten::conv2d" in said


def test_operators_by_shape(tmp_path: Path) -> None:
    """One row for each operator; or for each of its shapes."""
    trace = parsed(tmp_path, network(blocks=3))
    (whole,) = [row for row in operators(trace) if row["name"] == "aten::cat"]
    assert (whole["calls"], whole["shapes"]) == (3, 3)
    each = [row for row in operators(trace, by_shape=True) if row["name"] == "aten::cat"]
    assert sorted(row["shape"] for row in each) == [f"8x{c}x16x16, 8x{c}x16x16" for c in (16, 32, 48)]
    assert all(row["calls"] == 1 for row in each)


def test_a_recursive_call_counts_once_in_its_total(tmp_path: Path) -> None:
    """Own times are of both, the total of the outer one."""
    (row,) = operators(parsed(tmp_path, [step(0, 0, 100), call("f", 10, 50), call("f", 20, 10)]))
    assert (row["own_ms"], row["total_ms"], row["calls"]) == (0.05, 0.05, 2)


def test_a_device_has_a_split_of_its_own(tmp_path: Path) -> None:
    """The processor launches, the device works or idles."""
    trace = parsed(tmp_path, on_gpu())
    host, device = splits(trace)
    assert (host["where"], device["where"]) == ("processor", "device")
    parts = {part["label"]: part["ms"] for part in device["parts"]}
    assert parts["convolution"] == pytest.approx(0.5)
    assert parts["concatenation"] == pytest.approx(0.1)
    assert {row["name"] for row in operators(trace) if row["device"]} == {
        "ampere_sgemm_128x64_nn",
        "void at::native::CatArrayBatchedCopy<float>",
    }


def test_a_device_that_waits_is_said_to_wait(tmp_path: Path) -> None:
    """As a real card did: its kernels took 4 of a step's 32 ms. One that is busy is left in peace."""
    waiting = [step(0, 0, 1000), call("aten::conv2d", 10, 900), gpu("ampere_sgemm_128x64_nn", 20, 300, 0)]
    for events, said in ((waiting, True), (on_gpu(), False)):
        sentences = overview(parsed(tmp_path, events))["sentences"]
        assert any("waits for the processor" in sentence for sentence in sentences) == said


def test_compiled_code_is_said_to_be_unsplit(tmp_path: Path) -> None:
    """It is a large part of a compiled recipe, and other operators only by name."""
    events = [
        step(0, 0, 1000),
        call("## Call CompiledFxGraph fabc123 ##", 10, 900),
        call("aten::convolution", 20, 500),
    ]
    found = overview(parsed(tmp_path, events))
    assert any("0.400 ms of a step are inside compiled code" in sentence for sentence in found["sentences"])
    assert "Call CompiledFxGraph" in {row["name"] for row in found["top"]}, "without the graph's hash"


def test_memory_over_time(tmp_path: Path) -> None:
    """The peak survives any coarseness, and allocations belong to the outermost operator."""
    trace = parsed(tmp_path, network(blocks=4, steps=3))
    for points in (1, 7, 2000):
        (device,) = memory(trace, points)["devices"]
        assert max(device["high_bytes"]) == device["peak_bytes"] == 4 << 20
        assert min(device["low_bytes"]) == 0
        assert len(device["time_ms"]) <= points
        assert device["peak_in"] == "aten::conv2d"
        assert device["allocations"] == 12
        assert device["by_operator"] == [{"name": "aten::conv2d", "bytes": 4 << 20, "count": 4.0}]


def test_no_memory_no_view(tmp_path: Path) -> None:
    """Other engines' profilers keep no record of it."""
    assert memory(parsed(tmp_path, layers()))["devices"] == []


def test_allocations_outside_operators_belong_to_none(tmp_path: Path) -> None:
    """A call that ended before is not blamed."""
    events = [step(0, 0, 100), call("aten::conv2d", 10, 20), allocation(50, 8, 8), allocation(200, 8, 16)]
    (device,) = memory(parsed(tmp_path, events))["devices"]
    assert (device["by_operator"], device["peak_in"]) == ([], "")


def test_a_window_of_the_timeline(tmp_path: Path) -> None:
    """Only what is visible is sent, wide calls one by one and narrow ones together."""
    trace = parsed(tmp_path, network(blocks=40, steps=3))
    span = trace.span_ns / 1000
    whole = timeline(trace, 0, span, 600)
    count = sum(box[7] for row in whole["rows"] for box in row["boxes"])
    assert count == len(trace.name), "no call is lost"
    assert all(len(row["boxes"]) <= 600 for row in whole["rows"])
    assert any(box[7] > 1 for row in whole["rows"] for box in row["boxes"])
    close = timeline(trace, 0, 500, 600)
    boxes = [box for row in close["rows"] for box in row["boxes"]]
    assert {box[7] for box in boxes} == {1}
    names = [close["texts"][box[2]] for box in boxes]
    assert names[0] == "ProfilerStep#0"
    assert names.count("aten::mkldnn_convolution") == 2
    assert close["texts"][boxes[1][5]] == "8x16x16x16, 32x16x3x3"
    assert all(box[0] < 500 and box[0] + box[1] > 0 for box in boxes)
    assert timeline(trace, span + 1, span + 2, 600)["rows"] == []


def test_boxes_of_a_row_never_overlap(tmp_path: Path) -> None:
    """At any zoom."""
    trace = parsed(tmp_path, network(blocks=10))
    for width in (10, 100, 4000):
        for row in timeline(trace, 0, trace.span_ns / 1000, width)["rows"]:
            for one, other in zip(row["boxes"], row["boxes"][1:], strict=False):
                assert one[0] + one[1] <= other[0] + 1e-6


def test_comparison(tmp_path: Path) -> None:
    """What disappeared, what is new, what got faster, the most saved first."""
    a = Side("baseline", parsed(tmp_path, network(convolution_us=300, norm_us=60)))
    b = Side("fused", parsed(tmp_path, [*network(convolution_us=200, norm_us=0), call("aten::silu", 3, 4)]))
    found = compare(a, b)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["aten::mkldnn_convolution"]["change"] == "faster"
    assert rows["aten::mkldnn_convolution"]["saved_ms"] == pytest.approx(0.4)
    assert rows["aten::native_batch_norm"]["change"] == "gone"
    assert rows["aten::native_batch_norm"]["b_calls"] == 0
    assert rows["aten::silu"]["change"] == "new"
    assert rows["aten::cat"]["change"] == "same"
    saved = [row["saved_ms"] for row in found["rows"]]
    assert saved == sorted(saved, reverse=True)
    said = " ".join(found["sentences"])
    assert "A step of fused takes" in said
    assert "On the processor most is saved in convolution: 0.400 ms a step." in said
    assert "Gone: aten::native_batch_norm (-0.232 ms)" in said
    assert "New: aten::silu (+0.00133 ms)." in said
    back = {row["name"]: row["change"] for row in compare(b, a)["rows"]}
    assert (back["aten::mkldnn_convolution"], back["aten::native_batch_norm"]) == ("slower", "new")


def test_operators_that_vary_from_step_to_step_are_unclear(tmp_path: Path) -> None:
    """A mean alone makes nothing faster; nor does a single step."""

    def side(name: str, *lengths: float) -> Side:
        events = [
            event
            for number, length in enumerate(lengths)
            for event in (step(number, 1000 * number, 900), call("aten::conv2d", 1000 * number + 1, length))
        ]
        return Side(name, parsed(tmp_path, events))

    assert compare(side("a", 100, 200), side("b", 90, 110))["rows"][0]["change"] == "unclear"
    assert compare(side("a", 100), side("b", 50))["rows"][0]["change"] == "unclear"
    assert compare(side("a", 100, 101), side("b", 50, 51))["rows"][0]["change"] == "faster"
    assert compare(side("a", 100, 101), side("b", 101, 102))["rows"][0]["change"] == "same"


def test_engines_with_other_names_are_compared_by_kind_of_work(tmp_path: Path) -> None:
    """PyTorch's operators against layers."""
    found = compare(Side("baseline", parsed(tmp_path, network())), Side("layers", parsed(tmp_path, layers())))
    assert {row["change"] for row in found["rows"]} == {"gone", "new"}
    said = " ".join(found["sentences"])
    assert "different engines name their operators differently" in said
    assert "most is saved in convolution" in said
