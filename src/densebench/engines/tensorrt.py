"""TensorRT: the graph compiled for one GPU, its kernels chosen by timing them there.

The artifact is the plan. It holds machine code, and is good for the GPU, compute capability and TensorRT version
that built it; elsewhere it is refused before the library sees it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from densebench.engines._onnx_export import INPUT, OUTPUT
from densebench.engines.base import Built, Details, Engine, Target, Triton
from densebench.errors import RefusedArtifact
from densebench.schema import Caveat
from densebench.techniques.base import Option, Options

if TYPE_CHECKING:
    from torch import nn

    from densebench.engines._tensorrt_session import PlanSession
    from densebench.workloads.base import OnnxFile, Workload

PLAN, OPERATORS = "model.plan", "operators.json"
NEEDED = ("tensorrt", "onnx", "onnxruntime", "onnxscript")
MUST_MATCH = {"gpu": "GPU", "compute_capability": "compute capability", "tensorrt": "TensorRT"}
OWN_PRECISION = (
    "precision inside TensorRT is the engine's option: write tensorrt:precision=fp16, fp32 or int8"
)
COMPUTES = {"fp16": "float16", "fp32": "float32", "int8": "int8"}


class TensorrtOptions(Options):
    """What the plan computes in, and what its kernels may use."""

    # INT8's cost is that of calibrating an ONNX file: no card was there to measure it on
    precision: Annotated[
        Literal["fp16", "fp32", "int8"], Option(("int8", "fp16", "fp32"), (1.2, 1.0, 1.0))
    ] = Field("fp16", description="int8: convolutions and linear layers in INT8, the rest in FP16")
    workspace_mb: int = Field(4096, gt=0, description="device memory for one kernel's workspace, MB")


def bound_to() -> dict[str, str]:
    """What a plan built now is bound to, and the driver, which may change."""
    import pynvml
    import tensorrt
    import torch

    pynvml.nvmlInit()
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()
    return {
        "gpu": torch.cuda.get_device_name(),
        "compute_capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "tensorrt": tensorrt.__version__,
        "driver": driver,
    }


def build(
    model: nn.Module | OnnxFile,
    workload: Workload,
    folder: Path,
    target: Target,
    *,
    precision: str = "fp16",
    workspace_mb: int = 4096,
) -> Built:
    """Export the graph in this precision and build its plan, for every batch size up to the target's largest.

    Kernels that an earlier build of the sweep timed are not timed again: then it takes less than it would alone, and
    `kernels_timed_before` in the manifest says so.

    Raises:
        Unavailable: INT8 without calibration images.
        UsageError: INT8 with too few of them.
        CellFailed: TensorRT doesn't support a layer, or ran out of memory.

    """
    import tensorrt

    from densebench.engines._tensorrt_graph import graph_of
    from densebench.engines._tensorrt_plan import keep_timings, known_timings, plan_of

    graph = graph_of(model, workload, target.batch_sizes, precision)
    bound = bound_to()
    known = known_timings(bound)
    plan = plan_of(tensorrt, graph.content, target.batch_sizes, workspace_mb, known)
    keep_timings(bound, plan.timings)
    (folder / PLAN).write_bytes(plan.content)
    (folder / OPERATORS).write_text(json.dumps(graph.operators), encoding="utf-8")
    largest = max(target.batch_sizes)
    details = {
        "precision": precision,
        "largest_batch": largest,
        "classes": len(workload.weights.classes),
        "bound_to": bound,
        "kernels_timed_before": plan.reused,
    }
    from densebench.workloads.base import OnnxFile

    own = isinstance(model, OnnxFile)  # a user's graph may hold FP16 or Q/DQ itself
    return Built(details, rounds=own or precision != "fp32", largest_batch=largest)


def load(folder: Path, details: Details, device: str) -> PlanSession:
    """A session on the plan.

    Raises:
        RefusedArtifact: the plan was built for another GPU or another version of TensorRT.

    """
    if problem := unavailable(device):
        raise RefusedArtifact(f"{folder} can't be loaded here: {problem}")
    import tensorrt

    from densebench.engines._tensorrt_session import PlanSession

    built, here = details["bound_to"], bound_to()
    for key, word in MUST_MATCH.items():
        if built[key] != here[key]:
            raise RefusedArtifact(
                f"{folder} was built for {word} {built[key]}, here is {here[key]}: build the recipe again here"
            )
    operators = json.loads((folder / OPERATORS).read_text(encoding="utf-8"))
    return PlanSession(tensorrt, (folder / PLAN).read_bytes(), operators, details["precision"])


def usage(details: Details, device: str = "cuda") -> str:  # noqa: ARG001
    """TensorRT, and PyTorch for device memory."""
    return (
        "import tensorrt, torch\n"
        "runtime = tensorrt.Runtime(tensorrt.Logger())\n"
        f'engine = runtime.deserialize_cuda_engine(open("{PLAN}", "rb").read())\n'
        'assert engine is not None, "the plan is for another GPU or TensorRT version: its log says more"\n'
        "context = engine.create_execution_context()\n"
        "def infer(images):\n"
        '    inputs = torch.from_numpy(images).to("cuda").contiguous()\n'
        f'    outputs = torch.empty(len(inputs), {details["classes"]}, device="cuda")\n'
        f'    context.set_input_shape("{INPUT}", tuple(inputs.shape))  # 1 to {details["largest_batch"]} images\n'
        f'    context.set_tensor_address("{INPUT}", inputs.data_ptr())\n'
        f'    context.set_tensor_address("{OUTPUT}", outputs.data_ptr())\n'
        "    context.execute_async_v3(torch.cuda.current_stream().cuda_stream)\n"
        "    return outputs.cpu().numpy()  # waits for the GPU\n"
        "logits = infer(images)\n"
    )


def unavailable(device: str) -> str | None:
    """An NVIDIA GPU, the library, and what exports to it."""
    if device == "cpu":
        return "needs an NVIDIA GPU (--device cuda)"
    if any(find_spec(name) is None for name in NEEDED):
        return "pip install 'densebench[tensorrt]'"
    return None


ENGINE = Engine(
    "tensorrt",
    "TensorRT, FP16, FP32 or static INT8",
    build,
    load,
    aliases=("trt",),
    options=TensorrtOptions,
    own_memory=True,
    takes_onnx=True,
    precision=lambda options: COMPUTES[str(options["precision"])],
    ceilings={computes: {"precision": precision} for precision, computes in COMPUTES.items()},
    refuses={
        "nhwc": "it lays out memory by itself: leave the memory format out",
        "bfloat16": OWN_PRECISION,
        "float16": OWN_PRECISION,
        "autocast": OWN_PRECISION,
        "tensor_subclass": OWN_PRECISION,
    },
    usage=usage,
    tolerance=1e-3,
    typical_build_s=90.0,
    devices=lambda options: ("cuda",),
    unavailable=unavailable,
    caveat=Caveat(
        text="A plan runs on the GPU model and the TensorRT version that built it, nowhere else.",
        kind="portability",
    ),
    triton=Triton(
        "tensorrt",
        {PLAN: "model.plan"},
        INPUT,
        OUTPUT,
    ),
)
