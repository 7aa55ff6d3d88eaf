"""How an OpenVINO artifact is run elsewhere with what was measured: in a few lines of Python, and in Triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densebench.engines.base import Triton

GRAPH, WEIGHTS = "model.xml", "model.bin"
# Of an INT8 graph this is what isn't quantized: in DenseNet-121 one layer, so that BF16 there gains nothing, and
# FP32 is the same on every processor.
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def properties(precision: str, threads: int) -> dict[str, str]:
    """One synchronous stream, as `benchmark_app -hint none -api sync -nireq 1 -nstreams 1` runs it."""
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": "1",
    }


def usage(details: Mapping[str, Any], device: str = "cpu") -> str:  # noqa: ARG001
    """OpenVINO alone, with the properties that were measured."""
    lines = "\n".join(
        f'    "{k}": "{v}",' for k, v in properties(details["precision"], details["threads"]).items()
    )
    return f"""\
import openvino

core = openvino.Core()
model = core.read_model("{GRAPH}")
model.reshape(list(images.shape))  # any batch size; compiled for the one that is used
properties = {{
{lines}
}}
compiled = core.compile_model(model, "CPU", properties)
logits = compiled(images)["logits"]
"""


def _triton_parameters(details: Mapping[str, Any], threads: int) -> dict[str, str]:
    """As Triton's OpenVINO backend calls them: https://github.com/triton-inference-server/openvino_backend."""
    bf16 = {"HINT_BF16": "YES"} if details["precision"] == "bf16" else {}
    return {"INFERENCE_NUM_THREADS": str(threads), "NUM_STREAMS": "1", **bf16}


def _lost_in_triton(details: Mapping[str, Any], device: str) -> str:  # noqa: ARG001
    """It has a parameter for BF16 and none for FP32."""
    if details["precision"] == "bf16":
        return ""
    what = "this FP32 model" if details["precision"] == "fp32" else "what isn't quantized in this model"
    return f"the backend can't ask for FP32: on a processor with BF16, OpenVINO runs {what} in BF16"


TRITON = Triton(
    "openvino",
    {GRAPH: "model.xml", WEIGHTS: "model.bin"},
    "images",
    "logits",
    parameters=_triton_parameters,
    lost=_lost_in_triton,
)
