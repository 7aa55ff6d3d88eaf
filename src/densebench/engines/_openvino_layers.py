"""What OpenVINO's CPU plugin made of a model: the layers that it runs, in which precision, and for how long."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from densebench.engines._layer_times import LayerTime
from densebench.schema import Effect

if TYPE_CHECKING:
    from openvino import CompiledModel, Model, Node, ProfilingInfo

PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
MULTIPLYING = {"Convolution": "convolutions", "FullyConnected": "linear layers"}
OPERATORS = {  # as ONNX calls them
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "FullyConnected": "Gemm",
    "FullyConnectedQuantizedLegacy": "Gemm",
    "AvgPool": "AveragePool",
}


_OWN_SUFFIX = "/Dequantization"  # of a layer's name, where the plugin scales its output
_BEFORE = {
    "Convert",
    "Multiply",
    "Subtract",
    "FakeQuantize",
    "Reshape",
    "Transpose",
}  # from a constant to its layer


@dataclass(frozen=True)
class Layer:
    """A node of the execution graph.

    Args:
        kind: the plugin's name for it: `Convolution`, `FullyConnected`, `Subgraph`, …
        precision: what it computes in: `float32`, `bfloat16`, `int8`, …
        kernel: the implementation, such as `brgconv_avx512_amx`.
        operations: names of the saved graph's operations that are fused in it.

    """

    kind: str
    precision: str
    kernel: str
    operations: tuple[str, ...]


def layers(compiled: CompiledModel) -> list[Layer]:
    """The layers that the plugin runs, from its execution graph."""
    found = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = {key: str(value.value) for key, value in node.get_rt_info().items()}
        precision, kernel = info["runtimePrecision"], info["primitiveType"]
        name, _, suffix = kernel.rpartition("_")
        found.append(
            Layer(
                kind=info["layerType"],
                precision=PRECISIONS.get(precision, precision),
                kernel=name if suffix.lower() in PRECISIONS else kernel,
                operations=tuple(filter(None, info["originalLayersNames"].split(","))),
            )
        )
    return found


def describe(found: Iterable[Layer], claimed: str, macs: Mapping[str, int]) -> Effect:
    """How many convolutions and linear layers run in the claimed precision, by which kernel, and what the rest does.

    No effect where none does. For INT8 also the share of `macs`, multiply-accumulates of the saved graph's layers.
    """
    computing = [
        layer for layer in found if not (layer.kernel.startswith("unknown") or layer.kind == "Reorder")
    ]
    multiplying = [layer for layer in computing if layer.kind in MULTIPLYING]
    done = [layer for layer in multiplying if layer.precision == claimed]
    if not done:
        seen = ", ".join(sorted({layer.precision for layer in multiplying})) or "nothing of the kind"
        return Effect(none_because=f"no convolution or linear layer runs in {claimed} (seen: {seen})")
    counts = [
        f"{name} {sum(layer.kind == kind for layer in done)}/{total}"
        for kind, name in MULTIPLYING.items()
        if (total := sum(layer.kind == kind for layer in multiplying))
    ]
    kernel = Counter(layer.kernel for layer in done).most_common(1)[0][0]
    said = f"{claimed} {', '.join(counts)} ({kernel})"
    if claimed == "int8":
        names = {name.partition(_OWN_SUFFIX)[0] for layer in done for name in layer.operations}
        share = sum(macs.get(name, 0) for name in names) / max(sum(macs.values()), 1)  # of attention's too
        said += f", {100 * share:.3g} % of the MACs"
    if claimed == "float32":
        operations = sum(len(layer.operations) for layer in computing)
        return Effect(seen=(f"graph fused: {operations} operations in {len(computing)} layers", said))
    other = Counter(layer.precision for layer in computing if layer.precision != claimed)
    kinds = [
        precision if len(other) == 1 else f"{precision} {count}" for precision, count in other.most_common()
    ]
    return Effect(seen=(said, *(["other layers " + ", ".join(kinds)] if kinds else [])))


def weights(graph: Model) -> list[tuple[int, int, int]]:
    """Of each convolution and linear layer of a graph (output channels, weights that are zero, all its weights).

    Rounding makes zeros of its own: those of quantized weights don't count.
    """
    found = []
    for _, constant, channels in _multiplying(graph):
        values = constant.data
        zeros = int((values == 0).sum()) if values.dtype.kind == "f" else 0
        found.append((channels, zeros, values.size))
    return found


def macs(graph: Model) -> dict[str, int]:
    """Multiply-accumulates of each operation of a graph whose shapes are known, by its name."""
    counts = {node.get_friendly_name(): _macs(node) for node in graph.get_ops()}
    return {name: count for name, count in counts.items() if count}


def _macs(node: Node) -> int:
    """Of one operation, whether its operands are weights or both computed, as attention's are; 0 for other kinds."""
    kind = node.get_type_name()
    if kind not in {"Convolution", "GroupConvolution", "MatMul", "ScaledDotProductAttention"}:
        return 0
    outputs = math.prod(int(length) for length in node.get_output_shape(0))
    first, second = ([int(length) for length in node.get_input_shape(place)] for place in (0, 1))
    if kind == "MatMul":
        return outputs * first[-2 if node.get_attributes()["transpose_a"] else -1]
    if kind == "ScaledDotProductAttention":  # queries times keys, and that times the values
        return (math.prod(first) + outputs) * second[-2]
    return outputs * math.prod(second[2 if kind == "GroupConvolution" else 1 :])  # no output channels


def _multiplying(graph: Model) -> Iterator[tuple[Node, Node, int]]:
    """Each convolution and linear layer, the constant of its weights, and its output channels."""
    for node in graph.get_ops():
        kind = node.get_type_name()
        if kind not in {"Convolution", "GroupConvolution", "MatMul"}:
            continue
        constant = _constant(node.input_value(1).get_node())
        if constant is None:
            continue
        shape = constant.get_output_shape(0)
        channels = shape[0] * (shape[1] if kind == "GroupConvolution" else 1)
        if kind == "MatMul" and not node.get_attributes()["transpose_b"]:
            channels = shape[-1]
        yield node, constant, channels


def _constant(node: Node) -> Node | None:
    """The constant that a layer's weights come from, whatever turns it into them; None where they are computed."""
    while node.get_type_name() in _BEFORE:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def times(profile: Iterable[ProfilingInfo]) -> list[LayerTime]:
    """How long the layers of one inference took, those that ran."""
    return [
        LayerTime(
            OPERATORS.get(layer.node_type, layer.node_type),
            layer.real_time.total_seconds() * 1e6,
            {"layer": layer.node_name, "kernel": layer.exec_type},
        )
        for layer in profile
        if layer.status == type(layer.status).EXECUTED
    ]
