"""A stand-in for the `tensorrt` module: the calls that the engine makes, around a real ONNX graph.

It refuses what TensorRT refuses (weak typing, zero points, INT32 biases, shapes outside the profile), reads and
writes the memory whose addresses it is given, and tells of its layers as the inspector of `__version__` does.
ONNX Runtime computes.
"""

from __future__ import annotations

import ctypes
import json
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper, shape_inference

__version__ = "11.4.0.106"
BUILT: list[Config] = []  # every configuration that a plan was built with
DESERIALIZED: list[bytes] = []
STREAMS: list[int] = []  # the streams that inferences were enqueued on
MAGIC = b"fake plan\n"


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None:
        pass


class Logger(ILogger):
    def __init__(self, min_severity: int = ILogger.WARNING) -> None:
        super().__init__()

    def log(self, severity: int, msg: str) -> None:
        pass


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(IntEnum):
    TF32 = 0
    SPARSE_WEIGHTS = 1


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class ProfilingVerbosity(IntEnum):
    LAYER_NAMES_ONLY = 0
    DETAILED = 2


class LayerInformationFormat(IntEnum):
    ONELINE = 0
    JSON = 1


class HostMemory(bytes):
    __slots__ = ()


class Tensor:
    def __init__(self, value: onnx.ValueInfoProto) -> None:
        self.name = value.name
        self.shape = [d.dim_value or -1 for d in value.type.tensor_type.shape.dim]


class Network:
    def __init__(self, flags: int) -> None:
        self.strongly_typed = bool(flags & 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self.model = onnx.ModelProto()

    def get_input(self, index: int) -> Tensor:
        return Tensor(self.model.graph.input[index])


class ParserError:
    def __init__(self, text: str) -> None:
        self.text = text

    def desc(self) -> str:
        return self.text


class OnnxParser:
    def __init__(self, network: Network, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self.network = network
        self.errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> ParserError:
        return self.errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        self.network.model = onnx.load_from_string(model)
        onnx.checker.check_model(self.network.model, full_check=True)
        self.errors = [ParserError(text) for text in objections(self.network.model.graph)]
        return not self.errors


def objections(graph: onnx.GraphProto) -> list[str]:
    """Why TensorRT wouldn't take the quantized parts of a graph."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.domain not in {"", "ai.onnx"}:
            found.append(f"no importer for {node.domain}::{node.op_type}")
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            zeros = [constants[name] for name in node.input[2:] if name]
            if any(zero.data_type != TensorProto.INT8 for zero in zeros):
                found.append(f"{node.name}: only INT8 is quantized")
            if any(numpy_helper.to_array(zero).any() for zero in zeros):
                found.append(f"{node.name}: non-zero zero point is not supported")
            if numpy_helper.to_array(constants[node.input[1]]).min() <= 0:
                found.append(f"{node.name}: scale must be positive")
        known = {constants[name].data_type for name in node.input if name in constants}
        if node.op_type == "DequantizeLinear" and TensorProto.INT32 in known:
            found.append(f"{node.name}: INT32 input")
    return found


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(
        self,
        input: str,  # noqa: A002 - TensorRT's names
        min: tuple[int, ...],  # noqa: A002
        opt: tuple[int, ...],
        max: tuple[int, ...],  # noqa: A002
    ) -> None:
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> HostMemory:
        return HostMemory(self.content)


class Config:
    def __init__(self) -> None:
        self.pools: dict[MemoryPoolType, int] = {}
        self.flags = {BuilderFlag.TF32}  # on by default, as it is in TensorRT
        self.profiles: list[Profile] = []
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.cache: TimingCache | None = None
        self.strongly_typed = False

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        least, middle, most = next(iter(profile.shapes.values()))
        if not all(a <= b <= c for a, b, c in zip(least, middle, most, strict=True)):
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache:
        return TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:  # noqa: FBT001
        self.cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.cache


class Builder:
    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self.logger = logger

    def create_network(self, flags: int = 0) -> Network:
        return Network(flags)

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> HostMemory | None:
        if any(node.op_type == "Unbuildable" for node in network.model.graph.node) or not config.profiles:
            self.logger.log(ILogger.ERROR, "Error Code 10: could not find any  implementation\nfor node x")
            return None
        config.strongly_typed = network.strongly_typed
        BUILT.append(config)
        if config.cache:
            config.cache.content += b"timed"
        head = {
            "profile": config.profiles[0].shapes,
            "detailed": config.profiling_verbosity == ProfilingVerbosity.DETAILED,
        }
        return HostMemory(MAGIC + json.dumps(head).encode() + b"\n" + network.model.SerializeToString())


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        DESERIALIZED.append(serialized_engine)
        if not serialized_engine.startswith(MAGIC):
            self.logger.log(ILogger.ERROR, "magic tag does not match")
            return None
        head, _, model = serialized_engine.removeprefix(MAGIC).partition(b"\n")
        return Engine(json.loads(head), onnx.load_from_string(model))


class Engine:
    def __init__(self, head: dict[str, Any], model: onnx.ModelProto) -> None:
        self.head = head
        self.model = model
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def create_execution_context(self) -> Context:
        return Context(self)

    def create_engine_inspector(self) -> Inspector:
        return Inspector()

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        return list(self.head["profile"][name]) if profile_index == 0 else []


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.profiler: IProfiler | None = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self.engine.head["profile"][name]
        fits = len(shape) == len(most) and all(
            a <= b <= c for a, b, c in zip(least, shape, most, strict=True)
        )
        if fits:
            self.shapes[name] = shape
        return fits

    def get_tensor_shape(self, name: str) -> list[int]:
        (images,) = self.shapes.values()
        return [images[0], self.engine.session.get_outputs()[0].shape[1]]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        STREAMS.append(stream_handle)
        source, target = self.engine.session.get_inputs()[0].name, self.engine.session.get_outputs()[0].name
        images = at(self.addresses[source], self.shapes[source])
        at(self.addresses[target], tuple(self.get_tensor_shape(target)))[:] = self.engine.session.run(
            [target], {source: images}
        )[0]
        if self.profiler is not None:
            for layer in layers(self.engine.model):
                self.profiler.report_layer_time(layer["Name"], 0.25)
        return True


def at(address: int, shape: tuple[int, ...]) -> np.ndarray:
    """The FP32 array at an address."""
    return np.frombuffer((ctypes.c_float * prod(shape)).from_address(address), np.float32).reshape(shape)


class IProfiler:
    def __init__(self) -> None:
        pass

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class Inspector:
    execution_context: Context | None = None

    def get_engine_information(self, format: LayerInformationFormat) -> str:  # noqa: A002 - TensorRT's name
        assert format == LayerInformationFormat.JSON
        assert self.execution_context is not None
        engine = self.execution_context.engine
        assert self.execution_context.shapes, "without shapes the formats aren't told"
        found = layers(engine.model)
        ends = {"Bindings": []} if __version__.startswith("10.") else {"I/O Tensors": []}
        return json.dumps(
            {"Layers": found if engine.head["detailed"] else [x["Name"] for x in found], **ends}
        )


WORDS = {
    TensorProto.FLOAT: ("Float", "FP32"),
    TensorProto.FLOAT16: ("Half", "FP16"),
    TensorProto.INT8: ("Int8",) * 2,
}


def layers(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """One layer for each node that computes; a ReLU belongs to the layer before it, as does what dequantizes."""
    graph = shape_inference.infer_shapes(model).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found: list[dict[str, Any]] = []
    for node in graph.node:
        if node.op_type in {"DequantizeLinear", "Constant", "Identity"}:
            continue
        maker = makers.get(node.input[0])
        if node.op_type == "Relu" and found and maker and found[-1]["Metadata"].endswith(f"{maker.name}]"):
            found[-1]["Metadata"] += f"\x1e[ONNX Layer: {node.name}]"
            continue
        read = maker.input[0] if maker is not None and maker.op_type == "DequantizeLinear" else node.input[0]
        found.append(
            {
                "Name": f"{node.name}_fused",
                "LayerType": "CaskConvolution" if node.op_type == "Conv" else "kgen",
                "Inputs": [tensor(read, types[read])],
                "Metadata": f"[ONNX Layer: {node.name}]",
            }
        )
    return found


def tensor(name: str, kind: int) -> dict[str, str]:
    """A tensor as the inspector of this version tells of it."""
    word, form = WORDS[kind]
    row_major = f"Row major linear {form} format"
    if __version__.startswith("10."):
        return {"Name": name, "Format/Datatype": row_major}
    return {"Name": name, "DataType": word, "Format": f"{row_major} (kLINEAR)"}
