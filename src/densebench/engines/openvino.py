"""OpenVINO on the CPU: the model as an IR (`model.xml`, `model.bin`), compiled by the plugin when it is loaded.

The files hold a graph of any batch size. A session compiles it for the batch sizes that it meets, because the
plugin plans memory and fuses better for a known shape. The compiled model is not cached on disk: what a deployer
sees at a cold start is what is measured. The precision is always stated: left alone, OpenVINO runs an FP32 file
in BF16 where the processor can.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from densebench.engines import _openvino_int8 as int8
from densebench.engines import _openvino_layers as plugin
from densebench.engines._layer_times import chrome_events
from densebench.engines._onnx_file import check_quantizable, save_graph
from densebench.engines._openvino_deploy import GRAPH, TRITON, properties, usage
from densebench.engines._openvino_telemetry import no_telemetry
from densebench.engines._weights import describe_weights
from densebench.engines.base import Built, Engine, Target
from densebench.machine import INT8_FLAGS, cpu_flags, emulated
from densebench.techniques.base import Options
from densebench.workloads.base import OnnxFile

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest, Model
    from openvino import Tensor as Shared
    from torch import Tensor, nn

    from densebench.workloads.base import Workload

COMPUTES = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
KEPT = 4  # batch sizes that stay compiled
MAX_DROP = 1.0
TRACED = 3  # inferences


class OpenVinoOptions(Options):
    """What the graph computes in."""

    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    accuracy_control: bool = Field(
        default=False,
        description="INT8: return layers to FP32 until accuracy on training images is within max_drop",
    )
    max_drop: float = Field(
        MAX_DROP, gt=0, lt=100, description="percentage points of top-1, for accuracy_control"
    )

    @field_validator("accuracy_control")
    @classmethod
    def _only_for_int8(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001
        if value and info.data.get("precision") != "int8":
            raise PydanticCustomError("unused", "needs precision=int8 before it")
        return value

    @field_validator("max_drop")
    @classmethod
    def _only_for_control(cls, value: float, info: ValidationInfo) -> float:
        if value != MAX_DROP and not info.data.get("accuracy_control"):
            raise PydanticCustomError("unused", "needs accuracy_control=true before it")
        return value


def build(
    model: nn.Module | OnnxFile,
    workload: Workload,
    folder: Path,
    target: Target,
    *,
    precision: str = "fp32",
    accuracy_control: bool = False,
    max_drop: float = MAX_DROP,
) -> Built:
    """Convert the model, quantize it for INT8, and save it.

    BF16 has the FP32 file: the plugin rounds weights when it compiles, and one saved in half the bytes (FP16, the
    only such form) would be rounded twice and answer otherwise.

    Raises:
        Unavailable: INT8 without NNCF or calibration images, or of a file that can't be quantized.
        UsageError: INT8 with too few of them.

    """
    if precision == "int8":
        check_quantizable(model)
    images = int8.pick(workload.data, accuracy_control=accuracy_control) if precision == "int8" else None
    with no_telemetry():
        import openvino

    graph = _convert(model, workload.input_shape)
    if images is not None:
        graph = int8.quantize(graph, images, max_drop)
    openvino.save_model(graph, folder / GRAPH, compress_to_fp16=False)
    return Built(details={"precision": precision, "threads": target.threads}, rounds=precision != "fp32")


def _convert(model: nn.Module | OnnxFile, shape: tuple[int, int, int]) -> Model:
    """The model as an OpenVINO graph of any batch size, from `images` to `logits`."""
    import openvino
    import torch

    if isinstance(model, OnnxFile):
        with tempfile.TemporaryDirectory(prefix="densebench-openvino-") as scratch:
            path = Path(scratch) / "graph"
            save_graph(model, shape, path)
            return openvino.Core().read_model(path.read_bytes())
    example = torch.zeros(2, *shape)  # not 1, which tracing may take for a constant
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # OpenVINO's converter uses torch.jit.trace, now deprecated
        graph = openvino.convert_model(model, example_input=example, input=[("images", [-1, *shape])])
    graph.inputs[0].get_tensor().set_names({"images"})
    graph.outputs[0].get_tensor().set_names({"logits"})
    return graph


class OpenVinoSession:
    """A graph, compiled for each batch size at its first call; the latest few stay compiled."""

    def __init__(self, file: Path, details: Mapping[str, Any]) -> None:
        import torch

        with no_telemetry():
            import openvino

        self.details = details
        self.precision: str = details["precision"]
        self._core = openvino.Core()
        self._graph = self._core.read_model(file)
        self._properties = properties(self.precision, torch.get_num_threads())
        self._requests: dict[int, InferRequest] = {}

    def __call__(self, images: Tensor) -> Tensor:
        import torch

        request = self.request(images.shape[0])
        # the caller's memory is read as it is; what comes back is a copy, which no later call writes to
        return torch.from_numpy(request.infer(_shared(images))[0])

    def request(self, batch_size: int) -> InferRequest:
        """The one request of this batch size; its graph is compiled where it isn't yet."""
        if batch_size not in self._requests:
            if len(self._requests) == KEPT:
                del self._requests[next(iter(self._requests))]
            self._requests[batch_size] = self._compile(batch_size).create_infer_request()
        return self._requests[batch_size]

    def _compile(self, batch_size: int, **more: str) -> CompiledModel:
        self._graph.reshape([batch_size, *list(self._graph.inputs[0].get_partial_shape())[1:]])
        return self._core.compile_model(self._graph, "CPU", {**self._properties, **more})

    def effect(self, images: Tensor) -> str:
        """Count precisions in the plugin's execution graph, say what the processor lacks, and look at the weights."""
        compiled = self.request(images.shape[0]).get_compiled_model()
        said = plugin.describe(plugin.layers(compiled), COMPUTES[self.precision], plugin.macs(self._graph))
        pruned = describe_weights(plugin.weights(self._graph), self.details)
        more = [] if said.startswith("none") else pruned
        return "; ".join([said, *([lacks] if (lacks := _lacks(self.precision)) else []), *more])

    def trace(self, images: Tensor) -> list[dict[str, Any]]:
        """Layers of a few inferences, from a second compiled model that counts time."""
        request = self._compile(images.shape[0], PERF_COUNT="YES").create_infer_request()
        request.infer(_shared(images))
        inferences = []
        for _ in range(TRACED):
            request.infer()
            inferences.append(plugin.times(request.get_profiling_info()))
        return chrome_events(inferences, "layer")

    def close(self) -> None:
        self._requests.clear()


def _shared(images: Tensor) -> Shared:
    """The images' own memory as an OpenVINO tensor."""
    from openvino import Tensor as Shared

    return Shared(images.detach().contiguous().numpy(), shared_memory=True)


def _lacks(precision: str) -> str | None:
    """What the processor lacks of what makes this precision quick, or None."""
    if precision == "bf16" and emulated("bfloat16", "cpu"):
        return "the processor has no BF16"
    if precision == "int8" and cpu_flags() and not cpu_flags() & INT8_FLAGS:
        return "the processor has no VNNI"
    return None


def load(folder: Path, details: Mapping[str, Any], device: str) -> OpenVinoSession:  # noqa: ARG001
    """A session on the saved graph."""
    return OpenVinoSession(folder / GRAPH, details)


def unavailable(device: str) -> str | None:
    """The CPU and the library."""
    if device == "cuda":
        return "OpenVINO runs on the CPU here: --device cpu"
    return None if find_spec("openvino") else "pip install 'densebench[openvino]'"


_PRECISION = "its precision is the engine's option: write openvino:precision=bf16"
ENGINE = Engine(
    "openvino",
    "OpenVINO on the CPU, in FP32, BF16 or static INT8",
    build,
    load,
    options=OpenVinoOptions,
    takes_onnx=True,
    precision=lambda options: COMPUTES[options["precision"]],
    ceilings={computes: {"precision": precision} for precision, computes in COMPUTES.items()},
    refuses={
        "nhwc": "it lays out memory by itself: leave the memory format out",
        "bfloat16": _PRECISION,
        "autocast": _PRECISION,
        "float16": "its precision is the engine's option: write openvino:precision=bf16 or int8",
        "tensor_subclass": "its precision is the engine's option: write openvino:precision=int8",
    },
    usage=usage,
    tolerance=1e-4,
    typical_build_s=30.0,
    devices=lambda options: ("cpu",),
    unavailable=unavailable,
    triton=TRITON,
    caveat="The first call at each batch size compiles the graph. OpenVINO's Python package reports its use to "
    "Intel unless opt_in_out --opt_out was run; densebench keeps it from doing so.",
)
