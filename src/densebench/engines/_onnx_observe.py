"""What ONNX Runtime really runs: its optimized graph, and its profiler's events of each node."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from densebench.engines.base import TraceEvent
from densebench.schema import Effect

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"}
LINEARS = {"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat"}
INTEGER = {"ConvInteger", "QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat"}
CPU = "CPUExecutionProvider"
COMPILES = "TensorrtExecutionProvider"  # whole parts of the graph, each of which is one node then
KERNEL_EVENT = "_kernel_time"
RUN_EVENT = "model_run"
OWN_SUFFIX = r"(_nchwc|_bn_nchwc|_token_\d+)$"  # ONNX Runtime's, on names of the layers that it changed


Shapes = Sequence[Mapping[str, Sequence[int]]]  # of each tensor, by the name of its type


class Ran(TypedDict):
    """What the profiler says of a node that ran."""

    op_name: str
    provider: str
    input_type_shape: NotRequired[Shapes]
    output_type_shape: Shapes


class Event(TypedDict):
    """An event as ONNX Runtime's profiler writes it; `args` are a node's where the category is `Node`."""

    cat: str
    name: str
    ts: int
    dur: int
    pid: int
    tid: int
    args: Ran


@dataclass(frozen=True)
class Node:
    """A node of the optimized graph that was seen to run, or a part of the graph that a provider compiled.

    `macs` are multiply-accumulates of one image, 0 for what is neither a convolution nor a linear layer.
    `norm` says that a convolution scales each channel by itself: it was a batch norm.
    """

    operator: str
    provider: str
    macs: int = 0
    norm: bool = False
    fused: bool = False


def nodes(optimized: Path | None, events: Sequence[Event], batch_size: int) -> Iterator[Node]:
    """The nodes of one inference, weights taken from the optimized graph's file where there is one."""
    import onnx

    graph = onnx.load(optimized, load_external_data=False).graph if optimized else onnx.GraphProto()
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    saved = {node.name: node for node in graph.node}
    for event in events:
        if not _is_kernel(event):
            continue
        seen = event["args"]
        node = saved.get(event["name"].removesuffix(KERNEL_EVENT))
        operator, provider = seen["op_name"], seen["provider"]
        if node is None or operator not in CONVOLUTIONS | LINEARS:
            yield Node(operator, provider)
            continue
        # QLinear operators and QGemm take scale and zero point after each tensor
        weight = shapes.get(node.input[3 if operator.startswith("Q") else 1], ())
        attributes = {a.name: a for a in node.attribute}
        if operator in CONVOLUTIONS:
            kernel = math.prod(weight[1:]) if weight else 0
            norm = _is_norm(weight, attributes["group"].i if "group" in attributes else 1)
        else:
            transposed = "transB" in attributes and attributes["transB"].i == 1
            kernel = weight[1 if transposed else 0] if weight else _columns(seen)
            norm = False
        outputs = sum(math.prod(shape) for output in seen["output_type_shape"] for shape in output.values())
        yield Node(operator, provider, outputs // batch_size * kernel, norm, "activation" in attributes)


def _columns(seen: Ran) -> int:
    """Columns of a node's first operand, where its second one is no weight: attention multiplies what it computes."""
    shapes = [shape for tensor in seen.get("input_type_shape", []) for shape in tensor.values()]
    return int(shapes[0][-1]) if shapes and shapes[0] else 0


def weights(saved: Path) -> list[tuple[int, int, int]]:
    """Of each convolution and linear layer in a file (output channels, weights that are zero, all its weights).

    Rounding makes zeros of its own: those of quantized weights don't count.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(saved).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    found = []
    for node in graph.node:
        if node.op_type not in {"Conv", "Gemm", "MatMul"}:
            continue
        name = node.input[1]
        tensor = constants.get(name) or constants.get(sources.get(name, ""))
        attributes = {a.name: a.i for a in node.attribute}
        if tensor is None or _is_norm(tuple(tensor.dims), attributes.get("group", 1)):
            continue
        last = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes.get("transB"))
        zeros = 0 if name in sources else int((numpy_helper.to_array(tensor) == 0).sum())
        found.append((tensor.dims[-1 if last else 0], zeros, math.prod(tensor.dims)))
    return found


def _is_norm(weight: tuple[int, ...], group: int) -> bool:
    """Whether a convolution scales each channel by itself: it was a batch norm."""
    return len(weight) > 0 and math.prod(weight[1:]) == 1 and group == weight[0] > 1


def rewritten(saved: Path, ran: Sequence[Node]) -> bool:
    """Whether other operators ran than the file has; constants are none."""
    import onnx

    graph = onnx.load(saved, load_external_data=False).graph
    written = Counter(node.op_type for node in graph.node if node.op_type != "Constant")
    return written != Counter(node.operator for node in ran)


def memory(session: InferenceSession) -> list[str]:
    """That the images' memory is of no arena, where that is seen."""
    import onnxruntime

    kinds = [info.allocator_type for info in session.get_input_memory_infos()]
    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    return ["no memory arena"] if kinds and arena not in kinds else []


def describe(ran: Sequence[Node], *, int8: bool, asked: str = CPU, optimized: bool = True) -> Effect:
    """What differs from one FP32 kernel after the other; for a model that claims INT8, how much of it is.

    `asked` is the provider that the session was opened for. Others take what it can't run, and may take all.
    `optimized` says that the graph that ran is another than the file's.
    """
    if asked == CPU:
        return _integer(ran) if int8 else _float(ran, optimized=optimized)
    if not any(node.provider == asked for node in ran):
        return Effect(none_because=_fallen(ran))
    where = _places(ran, asked)
    if asked == COMPILES:
        return Effect(seen=(*_compiled(ran, int8=int8), where))
    return (_integer(ran) if int8 else _float(ran, optimized=optimized)).plus(where)


def _places(ran: Sequence[Node], asked: str) -> str:
    """How many nodes each provider ran, the one that was asked for first and the CPU last."""
    counts = Counter(node.provider for node in ran)
    first, last = counts.pop(asked), counts.pop(CPU, 0)
    said = [f"{first}/{len(ran)} nodes in {asked}"]
    said += [f"{count} in {provider}" for provider, count in counts.most_common()]
    return ", ".join([*said, *([f"{last} fell back to {CPU}"] if last else [])])


def _fallen(ran: Sequence[Node]) -> str:
    """Where all nodes ran, none of them in the provider that was asked for."""
    counts = Counter(node.provider for node in ran).most_common()
    if not counts:
        return "no node was seen to run"
    if len(counts) == 1:
        return f"all {len(ran)} nodes fell back to {counts[0][0]}"
    where = " and ".join(f"{count} to {provider}" for provider, count in counts)
    return f"all {len(ran)} nodes fell back, {where}"


def _compiled(ran: Sequence[Node], *, int8: bool) -> list[str]:
    """How much of the graph was compiled. What the compiled parts compute in shows nowhere."""
    parts = sum(node.provider == COMPILES for node in ran)
    outside = sum(node.operator in CONVOLUTIONS for node in ran)
    graph = f"{parts} part{'s' * (parts != 1)} of the graph compiled by TensorRT"
    said = f"{graph}, {outside} convolutions outside"
    return [said, *(["int8 was asked for, which TensorRT doesn't show here"] if int8 else [])]


def _integer(ran: Sequence[Node]) -> Effect:
    convolutions = [node for node in ran if node.operator in CONVOLUTIONS and not node.norm]
    norms = [node for node in ran if node.norm or node.operator == "BatchNormalization"]
    linears = [node for node in ran if node.operator in LINEARS]
    kinds = (("convolutions", convolutions), ("linear layers", linears), ("batch norms", norms))
    if not any(node.operator in INTEGER for node in ran):
        return Effect(none_because="no convolution or linear layer ran in INT8")
    counts = [
        f"int8 {what} {sum(node.operator in INTEGER for node in them)}/{len(them)}"
        for what, them in kinds
        if them
    ]
    total = sum(node.macs for node in ran)
    done = sum(node.macs for node in ran if node.operator in INTEGER)
    between = sum(node.operator in {"QuantizeLinear", "DequantizeLinear"} for node in ran)
    share = f"{100 * done / max(total, 1):.3g} % of the MACs"
    return Effect(seen=(f"{', '.join(counts)}, {share}", f"{between} casts to or from FP32"))


def _float(ran: Sequence[Node], *, optimized: bool) -> Effect:
    convolutions = [node for node in ran if node.operator in CONVOLUTIONS and not node.norm]
    fused = sum(node.fused for node in ran)
    norms = sum(node.operator == "BatchNormalization" for node in ran)
    turned = sum(node.norm for node in ran)
    graph = "optimized graph" if optimized else "graph as it is in the file"
    said = f"{graph}: {len(convolutions)} convolutions, {fused} nodes with their activation fused"
    if turned:
        said += f", {turned} batch norms run as convolutions"
    return Effect(seen=(f"{said}, {norms} batch norms left",))


def chrome_events(events: Sequence[Event], warm_up: int) -> list[TraceEvent]:
    """The profiler's events as Chrome trace events, those of the first `warm_up` inferences left out.

    Times are in microseconds from the first event. Each inference is marked `ProfilerStep#k`.
    """
    runs = sorted((event for event in events if event["name"] == RUN_EVENT), key=lambda event: event["ts"])
    runs = runs[warm_up:]
    start = runs[0]["ts"] if runs else 0
    made = [
        _event(f"ProfilerStep#{step}", "user_annotation", event, start, {}) for step, event in enumerate(runs)
    ]
    for event in events:
        if _is_kernel(event) and event["ts"] >= start:
            seen = event["args"]
            args = {
                "layer": re.sub(OWN_SUFFIX, "", event["name"].removesuffix(KERNEL_EVENT)),
                "provider": seen["provider"],
                "input shapes": seen.get("input_type_shape", []),
                "output shapes": seen.get("output_type_shape", []),
            }
            made.append(_event(seen["op_name"], "cpu_op", event, start, args))
    return sorted(made, key=lambda event: event["ts"])


def _event(name: str, category: str, event: Event, start: int, args: Mapping[str, object]) -> TraceEvent:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "ts": event["ts"] - start,
        "dur": event["dur"],
        "pid": event["pid"],
        "tid": event["tid"],
        "args": args,
    }


def _is_kernel(event: Event) -> bool:
    return event.get("cat") == "Node" and str(event["name"]).endswith(KERNEL_EVENT)


def read_events(path: Path) -> list[Event]:
    """What the profiler wrote."""
    events: list[Event] = json.loads(path.read_text(encoding="utf-8"))
    return events
