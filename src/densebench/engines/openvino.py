"""OpenVINO on the CPU: the model as an IR (`model.xml`, `model.bin`), compiled by the plugin when it is loaded.

The files hold a graph of any batch size. A session compiles it for the batch sizes that it meets, because the
plugin plans memory and fuses better for a known shape. The compiled model is not cached on disk: what a deployer
sees at a cold start is what is measured. FP32 and BF16 are stated: left alone, OpenVINO runs an FP32 file in BF16
where the processor can. It may choose only what an INT8 model runs its other layers in, and the effect says which.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines import _openvino_int8 as int8
from densebench.engines import _openvino_layers as plugin
from densebench.engines import _streams
from densebench.engines._layer_times import chrome_events
from densebench.engines._onnx_file import check_quantizable, save_graph
from densebench.engines._openvino_deploy import GRAPH, TRITON, properties, usage
from densebench.engines._openvino_options import CALIBRATION, OpenVinoOptions
from densebench.engines._openvino_telemetry import no_telemetry
from densebench.engines._weights import describe_weights
from densebench.engines.base import Built, Details, Engine, Target, TraceEvent
from densebench.machine.facts import INT8_FLAGS, cpu_flags, emulated
from densebench.schema import Caveat, Effect
from densebench.workloads.base import OnnxFile

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest, Model
    from openvino import Tensor as Shared
    from torch import Tensor, nn

    from densebench.workloads.base import Workload

COMPUTES = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
KEPT = 4  # batch sizes that stay compiled
TRACED = 3  # inferences


def build(
    model: nn.Module | OnnxFile, workload: Workload, folder: Path, target: Target, **options: object
) -> Built:
    """Convert the model, quantize it for INT8, and save it; the options are those of `OpenVinoOptions`.

    BF16 has the FP32 file: the plugin rounds weights when it compiles, and one saved in half the bytes (FP16, the
    only such form) would be rounded twice and answer otherwise.

    Raises:
        Unavailable: INT8 without NNCF or calibration images, or of a file that can't be quantized.
        UsageError: INT8 with too few of them.

    """
    asked = OpenVinoOptions.model_validate(options)
    details: dict[str, object] = {"precision": asked.precision, "threads": target.threads}
    images = None
    if asked.precision == "int8":
        check_quantizable(model)
        images = int8.pick(workload.data, asked)
        details["rest"] = asked.rest
    if asked.streams != 1:
        details["streams"] = asked.streams
    with no_telemetry():
        import openvino

    graph = _convert(model, workload.input_shape)
    if images is not None:
        graph = int8.quantize(graph, images, asked)
    openvino.save_model(graph, folder / GRAPH, compress_to_fp16=False)
    return Built(details=details, rounds=asked.precision != "fp32")


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

    def __init__(self, file: Path, details: Details) -> None:
        import torch

        with no_telemetry():
            import openvino

        self.details = details
        self.precision: str = details["precision"]
        self._core = openvino.Core()
        self._graph = self._core.read_model(file)
        self._properties = properties(details, torch.get_num_threads())
        self._requests: dict[int, InferRequest] = {}
        self._others: dict[int, list[InferRequest]] = {}  # of the other streams

    @property
    def streams(self) -> int:
        """As asked for; of `auto` as many as OpenVINO makes of its throughput hint, at the latest batch size."""
        if self.details.get("streams") != "auto":
            return _streams.of_details(self.details, 1)
        compiled = self.request(next(reversed(self._requests), 1)).get_compiled_model()
        return int(compiled.get_property("NUM_STREAMS"))

    def answer(self, images: Tensor, count: int) -> list[float]:
        """Each stream has a request of its own, which a thread of this process waits for.

        Callbacks hang: a model that is closed waits for OpenVINO's threads while it holds Python's lock (GIL), and
        the threads need that lock to drop the callback.
        """
        size = images.shape[0]
        first = self.request(size)
        others = self._others.setdefault(size, [])
        while len(others) < self.streams - 1:
            others.append(first.get_compiled_model().create_infer_request())
        shared = _shared(images)
        calls = [partial(one.infer, {0: shared}, share_inputs=True) for one in (first, *others)]
        return _streams.answered(calls[: self.streams], count)

    def __call__(self, images: Tensor) -> Tensor:
        import torch

        request = self.request(images.shape[0])
        # the caller's memory is read as it is; what comes back is a copy, which no later call writes to
        return torch.from_numpy(request.infer(_shared(images))[0])

    def request(self, batch_size: int) -> InferRequest:
        """The one request of this batch size; its graph is compiled where it isn't yet."""
        if batch_size not in self._requests:
            if len(self._requests) == KEPT:
                gone = next(iter(self._requests))
                del self._requests[gone]
                self._others.pop(gone, None)
            self._requests[batch_size] = self._compile(batch_size).create_infer_request()
        return self._requests[batch_size]

    def _compile(self, batch_size: int, **more: str) -> CompiledModel:
        self._graph.reshape([batch_size, *list(self._graph.inputs[0].get_partial_shape())[1:]])
        return self._core.compile_model(self._graph, "CPU", {**self._properties, **more})

    def effect(self, images: Tensor) -> Effect:
        """Count precisions in the plugin's execution graph, say what the processor lacks, and look at the weights."""
        compiled = self.request(images.shape[0]).get_compiled_model()
        found = plugin.layers(compiled)
        effect = plugin.describe(found, COMPUTES[self.precision], plugin.macs(self._graph))
        effect = effect.plus(*_lacking(self.details, {layer.precision for layer in found}))
        effect = effect.plus(
            *_streams.described(self.streams, int(self._properties["INFERENCE_NUM_THREADS"]))
        )
        if effect.none_because:
            return effect
        return effect.plus(*describe_weights(plugin.weights(self._graph), self.details))

    def trace(self, images: Tensor) -> list[TraceEvent]:
        """Layers of a few inferences, from a second compiled model that counts time."""
        request = self._compile(images.shape[0], PERF_COUNT="YES").create_infer_request()
        request.infer(_shared(images))
        inferences = []
        for _ in range(TRACED):
            request.infer()
            inferences.append(plugin.times(request.get_profiling_info()))
        return chrome_events(inferences, "layer")

    def close(self) -> None:
        self._others.clear()
        self._requests.clear()


def _shared(images: Tensor) -> Shared:
    """The images' own memory as an OpenVINO tensor."""
    from openvino import Tensor as Shared

    return Shared(images.detach().contiguous().numpy(), shared_memory=True)


def _lacking(details: Details, ran: set[str]) -> Iterator[str]:
    """What the processor lacks of what makes this precision quick, by the precisions that layers ran in."""
    if "bf16" in {details["precision"], details.get("rest")} and emulated("bfloat16", "cpu"):
        yield f"the processor has no BF16{', which is emulated' if COMPUTES['bf16'] in ran else ''}"
    if details["precision"] == "int8" and cpu_flags() and not cpu_flags() & INT8_FLAGS:
        yield "the processor has no VNNI"


def load(folder: Path, details: Details, device: str) -> OpenVinoSession:  # noqa: ARG001
    """A session on the saved graph."""
    return OpenVinoSession(folder / GRAPH, details)


def unavailable(device: str) -> str | None:
    """The CPU and the library."""
    if device == "cuda":
        return "OpenVINO runs on the CPU here: --device cpu"
    return None if find_spec("openvino") else "pip install 'densebench[openvino]'"


_PRECISION = "its precision is the engine's option: write openvino:precision=bf16"


def calibrates_on(options: Mapping[str, object]) -> int:
    """The number of images that was asked for; with the default, fewer will do."""
    asked = OpenVinoOptions.model_validate(options)
    parts = 2 if asked.accuracy_control else 1  # the other half of the images is for the check
    return parts * asked.calibration if asked.calibration != CALIBRATION else 0


def uses() -> str:
    """What OpenVINO says that the processor computes fast."""
    with no_telemetry():
        import openvino

    return ", ".join(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


ENGINE = Engine(
    "openvino",
    "OpenVINO on the CPU, in FP32, BF16 or static INT8",
    build,
    load,
    refuses_with=_streams.refuses_with,
    options=OpenVinoOptions,
    calibrates_on=calibrates_on,
    takes_onnx=True,
    precision=lambda options: COMPUTES[str(options["precision"])],
    ceilings={computes: {"precision": precision} for precision, computes in COMPUTES.items()},
    refuses={
        "nhwc": "it lays out memory by itself: leave the memory format out",
        "bfloat16": _PRECISION,
        "autocast": _PRECISION,
        "float16": "its precision is the engine's option: write openvino:precision=bf16 or int8",
        "tensor_subclass": "its precision is the engine's option: write openvino:precision=int8",
    },
    usage=usage,
    contains_code=False,
    tolerance=1e-4,
    typical_build_s=30.0,
    devices=lambda options: ("cpu",),
    unavailable=unavailable,
    uses=uses,
    triton=TRITON,
    caveat=Caveat(
        text="The first call at each batch size compiles the graph. OpenVINO's Python package reports its use to "
        "Intel unless opt_in_out --opt_out was run; densebench keeps it from doing so.",
    ),
)
