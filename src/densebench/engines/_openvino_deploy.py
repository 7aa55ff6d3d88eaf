"""How an OpenVINO artifact is run elsewhere with what was measured: in a few lines of Python, and in Triton."""

from __future__ import annotations

from densebench.engines.base import Details, Triton

GRAPH, WEIGHTS = "model.xml", "model.bin"
HINTS = {"fp32": "f32", "bf16": "bf16"}  # of an INT8 graph it is for what isn't quantized


def properties(details: Details, threads: int) -> dict[str, str]:
    """One synchronous stream, as `benchmark_app -hint none -api sync -nireq 1 -nstreams 1` runs it.

    With several streams as `-hint none -nstreams N`, with `auto` as `-hint throughput`.
    """
    hint, streams = _hint(details), str(details.get("streams", 1))
    return {
        **({} if hint == "auto" else {"INFERENCE_PRECISION_HINT": hint}),
        "INFERENCE_NUM_THREADS": str(threads),
        **({"PERFORMANCE_HINT": "THROUGHPUT"} if streams == "auto" else {"NUM_STREAMS": streams}),
    }


def _hint(details: Details) -> str:
    """What OpenVINO is told to compute in, or `auto`; artifacts from before there was a choice have FP32."""
    return HINTS.get(details["precision"]) or str(details.get("rest", "f32"))


def usage(details: Details, device: str = "cpu") -> str:  # noqa: ARG001
    """OpenVINO alone, with the properties that were measured."""
    given = properties(details, details["threads"])
    several = (
        "# for several batches at once: a request of create_infer_request() in each of several threads\n"
    )
    several *= "streams" in details
    return f"""\
import sys
sys.modules["openvino_telemetry"] = None  # else the next import reports to Google Analytics
import openvino

core = openvino.Core()
model = core.read_model("{GRAPH}")
model.reshape(list(images.shape))  # any batch size; compiled for the one that is used
properties = {given!r}
compiled = core.compile_model(model, "CPU", properties)

{several}def infer(images):
    return compiled(images)["logits"]

logits = infer(images)
"""


def _triton_parameters(details: Details, threads: int) -> dict[str, str]:
    """As Triton's OpenVINO backend calls them: https://github.com/triton-inference-server/openvino_backend."""
    bf16 = {"HINT_BF16": "YES"} if _hint(details) == "bf16" else {}
    streams = str(details.get("streams", 1)).upper()
    return {"INFERENCE_NUM_THREADS": str(threads), "NUM_STREAMS": streams, **bf16}


def _lost_in_triton(details: Details, device: str) -> str:  # noqa: ARG001
    """It has a parameter for BF16 and none for FP32."""
    if _hint(details) != "f32":
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
