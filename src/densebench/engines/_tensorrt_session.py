"""A plan that runs: on PyTorch's stream, from and to PyTorch's memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from densebench.engines import _tensorrt_layers as plan_layers
from densebench.engines._layer_times import LayerTime, chrome_events
from densebench.engines._onnx_export import INPUT, OUTPUT
from densebench.engines._tensorrt_plan import log_of
from densebench.engines.base import TraceEvent
from densebench.errors import CellFailed, RefusedArtifact, UsageError
from densebench.schema import Effect

if TYPE_CHECKING:
    from torch import Tensor

TRACED = 3  # inferences in a profile
WARM_UP = 1


class PlanSession:
    """A deserialized plan with one execution context.

    Args:
        library: the bindings.
        content: the plan.
        operators: operator of each ONNX node by its name.
        precision: what the plan was asked to compute in.

    """

    def __init__(self, library: Any, content: bytes, operators: Mapping[str, str], precision: str) -> None:
        import torch

        self.library = library
        self.operators = operators
        self.precision = precision
        runtime = library.Runtime(log_of(library))
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise RefusedArtifact(f"TensorRT can't read the plan, build it again: {log_of(library).last()}")
        self.engine = engine
        self.context = engine.create_execution_context()
        if self.context is None:
            raise CellFailed(f"no device memory allocated for the plan: {log_of(library).last()}")
        _, _, self.largest = engine.get_tensor_profile_shape(INPUT, 0)
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, images: Tensor) -> Tensor:
        return self._run(self.context, images)

    def _run(self, context: Any, images: Tensor) -> Tensor:
        """Enqueue one inference after what PyTorch's stream holds, and before what comes next on it."""
        import torch

        images = images.contiguous()
        if not 1 <= len(images) <= self.largest[0]:
            raise UsageError(f"the plan takes 1 to {self.largest[0]} images at once (got {len(images)})")
        if not context.set_input_shape(INPUT, tuple(images.shape)):
            expected = "x".join(map(str, tuple(self.largest)[1:]))
            raise UsageError(f"the plan takes images of {expected} (got {tuple(images.shape)})")
        logits = torch.empty(tuple(context.get_tensor_shape(OUTPUT)), device=images.device)
        context.set_tensor_address(INPUT, images.data_ptr())
        context.set_tensor_address(OUTPUT, logits.data_ptr())
        current = torch.cuda.current_stream()
        if current.cuda_stream:
            done = context.execute_async_v3(current.cuda_stream)
        else:  # on the default stream, whose handle is 0, TensorRT waits for the device in every call
            self.stream.wait_stream(current)
            done = context.execute_async_v3(self.stream.cuda_stream)
            current.wait_stream(self.stream)
        if not done:
            raise CellFailed(f"TensorRT ran nothing: {log_of(self.library).last()}")
        return logits

    def _layers(self, context: Any) -> list[plan_layers.Layer]:
        """What the context runs at the shape that it was last given."""
        inspector = self.engine.create_engine_inspector()
        inspector.execution_context = context
        text = inspector.get_engine_information(self.library.LayerInformationFormat.JSON)
        return plan_layers.layers_of(json.loads(text))

    def effect(self, images: Tensor) -> Effect:
        self._run(self.context, images)
        return plan_layers.describe(self._layers(self.context), self.operators, self.precision)

    def trace(self, images: Tensor) -> list[TraceEvent]:
        """Layer times by TensorRT's profiler, laid end to end: it tells durations, not when a layer began."""
        import torch

        context = self.engine.create_execution_context()  # of its own: profiling slows the one it is put on
        profiler = _profiler(self.library)
        context.profiler = profiler
        inferences = []
        for run in range(WARM_UP + TRACED):
            profiler.times.clear()
            self._run(context, images)
            torch.cuda.synchronize()
            if run >= WARM_UP:
                inferences.append([*profiler.times])
        layers = {layer.name: layer for layer in self._layers(context)}
        return chrome_events([[self._time(layers, *one) for one in run] for run in inferences], "kernel")

    def _time(self, layers: Mapping[str, plan_layers.Layer], name: str, ms: float) -> LayerTime:
        layer = layers.get(name, plan_layers.Layer(name, "", (), ""))
        args = {"layer": name, "nodes": ", ".join(layer.nodes), "reads": layer.reads}
        return LayerTime(plan_layers.operator_of(layer, self.operators), ms * 1000, args)

    def close(self) -> None:
        """Free the plan's device memory: it goes with the last reference."""
        self.context = self.engine = None


def _profiler(library: Any) -> Any:
    """Something that TensorRT tells layer times to: they are in its `times`, in the order in which layers ran."""

    class Profiler(library.IProfiler):  # type: ignore[misc]
        """Layers by name, in ms."""

        def __init__(self) -> None:
            library.IProfiler.__init__(self)
            self.times: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.append((layer_name, ms))

    return Profiler()
