"""What the layers of a plan compute, by TensorRT's engine inspector.

Its JSON differs: version 10 tells a tensor's memory format and type in one field, version 11 in two. A layer
may be several nodes of the ONNX graph at once; its metadata names them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from densebench.schema import Effect

CONVOLUTION = "Conv"
CLAIMED = {"fp16": "float16", "int8": "int8", "fp32": "float32"}
_NODE = re.compile(r"\[ONNX Layer: ([^\]\x1e\x1f]+)")  # one for each node, with or without separators between
_TYPES = (  # in words of the inspector; most specific first: "BFloat16" holds "Float"
    ("int8", re.compile(r"\bint8\b", re.IGNORECASE)),
    ("bfloat16", re.compile(r"\b(bfloat16|bf16)\b", re.IGNORECASE)),
    ("float16", re.compile(r"\b(half|fp16)\b", re.IGNORECASE)),
    ("float32", re.compile(r"\b(float|fp32)\b", re.IGNORECASE)),
)
_WIDTH = {"int8": 1, "bfloat16": 2, "float16": 2, "float32": 4}
_MOVES = {"Reformat", "NoOp", "Constant", "Shuffle", "Reshape", "signal", "wait"}  # they compute nothing


@dataclass(frozen=True)
class Layer:
    """One layer: the ONNX nodes in it, and the narrowest type among the tensors that it reads, "" if unknown."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    reads: str


class Entry(TypedDict, total=False):
    """A layer in the inspector's JSON."""

    Name: str
    LayerType: str
    Metadata: str
    Inputs: list[Mapping[str, object]]


def layers_of(information: Mapping[str, Sequence[Entry | str]]) -> list[Layer]:
    """The layers in the inspector's JSON; none where the plan was built without details, which leaves their names."""
    return [_layer(entry) for entry in information.get("Layers", []) if not isinstance(entry, str)]


def _layer(entry: Entry) -> Layer:
    nodes = _NODE.findall(entry.get("Metadata", ""))
    types = [found for tensor in entry.get("Inputs", []) if (found := _type(tensor))]
    return Layer(
        entry.get("Name", ""),
        entry.get("LayerType", ""),
        tuple(dict.fromkeys(nodes)),
        min(types, key=_WIDTH.__getitem__, default=""),
    )


def _type(tensor: Mapping[str, object]) -> str:
    said = " ".join(
        str(tensor[key]) for key in ("DataType", "Datatype", "Format/Datatype", "Format") if key in tensor
    )
    return next((name for name, pattern in _TYPES if pattern.search(said)), "")


def convolutions(layers: Iterable[Layer], operators: Mapping[str, str]) -> Counter[str]:
    """How many of the graph's convolutions run in each precision; "" for those that no layer is seen to hold.

    A convolution that several layers name counts by the widest of their types: nothing is claimed too early.
    """
    found: dict[str, list[str]] = {}
    for layer in layers:
        if layer.kind not in _MOVES and layer.reads:
            for node in layer.nodes:
                found.setdefault(node, []).append(layer.reads)
    return Counter(
        max(found.get(node, [""]), key=lambda name: _WIDTH.get(name, 0))
        for node, operator in operators.items()
        if operator == CONVOLUTION
    )


def describe(layers: list[Layer], operators: Mapping[str, str], precision: str) -> Effect:
    """The precisions seen; no effect where the claimed one ("fp32", "fp16", "int8") is at no convolution."""
    if not layers:
        return Effect(none_because="the plan doesn't tell what its layers compute")
    seen = convolutions(layers, operators)
    total = seen.total()
    said = [f"{name} convolutions {count}/{total}" for name, count in seen.most_common() if name]
    if seen[""]:
        said.append(f"{seen['']} not seen in any layer")
    claimed = CLAIMED[precision]
    if total and not seen[claimed]:
        return Effect(none_because=f"no {claimed} convolution was seen ({', '.join(said)})")
    return Effect(seen=(*said, f"{len(operators)} graph nodes in {len(layers)} layers"))


def operator_of(layer: Layer, operators: Mapping[str, str]) -> str:
    """What a profile calls the layer: its heaviest node's operator, or what kind of layer it is."""
    found = [operators[node] for node in layer.nodes if node in operators]
    heavy = (name for name in (CONVOLUTION, "Gemm", "MatMul", "Concat") if name in found)
    return next(heavy, found[0] if found else layer.kind or "Layer")
