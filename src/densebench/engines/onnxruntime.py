"""ONNX Runtime: the model as one ONNX file of any batch size, run without PyTorch.

INT8 is static, calibrated on the workload's images. ONNX Runtime optimizes the graph when it loads it, so the
file is the same for every processor. It refuses weights outside the artifact's folder, and has no custom
operators unless it is given their library: nothing in the artifact is code.
"""

from __future__ import annotations

import importlib
import itertools
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines import _onnx_observe as observed
from densebench.engines import _streams
from densebench.engines._calibration import wanted_images
from densebench.engines._onnx_deploy import ARENA, GRAPH, MODEL, TRITON, providers, usage
from densebench.engines._onnx_export import INPUT, OUTPUT
from densebench.engines._onnx_file import PER_CHANNEL, check_quantizable, write_graph
from densebench.engines._onnx_options import OnnxOptions
from densebench.engines._onnx_quantize import quantize
from densebench.engines._onnx_ranges import METHOD, MOST, PERCENTILE
from densebench.engines._onnx_session import all_threads, session_options
from densebench.engines._weights import describe_weights
from densebench.engines.base import Built, Details, Engine, Target, TraceEvent
from densebench.errors import RefusedArtifact, Unavailable
from densebench.schema import Effect
from densebench.techniques.base import DEVICES

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions
    from torch import Tensor, nn

    from densebench.workloads.base import OnnxFile, Workload

CUDA_LIBRARY = "libonnxruntime_providers_cuda.so"
TRACED = 3  # inferences
WARM_UP = 1
OWN_PRECISION = "precision inside it is its own option: write onnx:precision=int8, or leave FP32"


def build(
    model: nn.Module | OnnxFile,
    workload: Workload,
    folder: Path,
    target: Target,
    *,
    precision: str = "fp32",
    provider: str = "auto",
    graph: str = GRAPH,
    arena: bool = ARENA,
    calibration: int = MOST,
    method: str = METHOD,
    percentile: float = PERCENTILE,
    streams: int | str = 1,
) -> Built:
    """Export the model or take its graph, check it, and quantize it for INT8.

    `graph`, `arena` and `streams` are for the session; the file is the same with all of them.

    Raises:
        Unavailable: no calibration images, a file that can't be quantized, or a device that the provider or INT8
            doesn't run on.
        UsageError: too few calibration images.

    """
    if provider == "tensorrt" and target.device == "cpu":
        raise Unavailable("provider=tensorrt runs on CUDA devices")
    details: dict[str, object] = {"precision": precision, "provider": provider, "threads": target.threads}
    details |= {"graph": graph, "arena": arena} | ({"streams": streams} if streams != 1 else {})
    write = partial(
        write_graph, model, workload.input_shape, batch_sizes=target.batch_sizes, name=target.model
    )
    if precision == "fp32":
        spared_s = write(folder / MODEL)
        return Built(details=details, spared_s=spared_s)
    if target.device != "cpu" and provider == "auto":
        raise Unavailable(
            "ONNX Runtime has no INT8 kernels for CUDA: add provider=tensorrt, or use --device cpu"
        )
    check_quantizable(model, PER_CHANNEL)
    images = wanted_images(workload.data, calibration, MOST)
    details |= {"calibration": len(images), "method": method}
    details |= {"percentile": percentile} if method == "percentile" else {}
    symmetric = provider == "tensorrt"
    with tempfile.TemporaryDirectory(prefix="densebench-onnx-") as scratch:
        exported = Path(scratch) / MODEL
        spared_s = write(exported)
        quantize(exported, folder / MODEL, images, symmetric=symmetric, method=method, percentile=percentile)
    return Built(details=details, rounds=True, spared_s=spared_s)


class OnnxSession:
    """An ONNX file, optimized for this processor and loaded."""

    def __init__(self, path: Path, details: Details, device: str) -> None:
        self.path = path
        self.details = details
        self.int8 = details["precision"] == "int8"
        self.providers = providers(details["provider"], device)
        first = self.providers[0]
        self.asked: str = first if isinstance(first, str) else first[0]
        self.device = device
        self.session = self._open(session_options(details))
        self._sessions = [self.session]

    @property
    def streams(self) -> int:
        """As asked for; `auto` is one for each thread."""
        return _streams.of_details(self.details, all_threads())

    def answer(self, images: Tensor, count: int) -> list[float]:
        """In threads of this process. Streams of a single thread share a session, others have one each."""
        while len(self._sessions) < self.streams and self.streams < all_threads():
            self._sessions.append(self._open(session_options(self.details)))
        sessions = itertools.islice(itertools.cycle(self._sessions), self.streams)
        return _streams.answered([partial(self._run, session, images) for session in sessions], count)

    def _open(self, options: SessionOptions) -> InferenceSession:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as problems

        unreadable = (
            problems.InvalidProtobuf,
            problems.InvalidGraph,
            problems.InvalidArgument,
            problems.NoSuchFile,
            problems.NotImplemented,
            problems.Fail,
        )
        if self.asked == observed.COMPILES:
            if b"EPContext" in self.path.read_bytes():
                raise RefusedArtifact(f"{self.path} holds a compiled engine, which is code: build it again")
            _load_libraries()
        try:
            session = onnxruntime.InferenceSession(
                self.path, options, providers=self.providers, enable_fallback=0
            )
        except unreadable as error:
            said = str(error).splitlines()[0]
            raise RefusedArtifact(
                f"{self.path}: build it again, ONNX Runtime can't load it: {said}"
            ) from None
        if self.asked not in session.get_providers():
            raise Unavailable(
                f"ONNX Runtime can't start its {self.asked}: see what onnxruntime-gpu needs beside it"
            )
        return session

    def __call__(self, images: Tensor) -> Tensor:
        return self._run(self.session, images)

    def _run(self, session: InferenceSession, images: Tensor) -> Tensor:
        """Images in and logits out without a copy: NumPy's view on the CPU, the tensors' own memory on a GPU."""
        import numpy as np
        import torch

        images = images.contiguous()
        if self.device == "cpu":
            return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
        logits = torch.empty(len(images), session.get_outputs()[0].shape[1], device=images.device)
        where = images.device.index or 0
        binding = session.io_binding()
        binding.bind_input(INPUT, "cuda", where, np.float32, tuple(images.shape), images.data_ptr())
        binding.bind_output(OUTPUT, "cuda", where, np.float32, tuple(logits.shape), logits.data_ptr())
        torch.cuda.current_stream().synchronize()  # ONNX Runtime has a stream of its own
        session.run_with_iobinding(binding)  # returns when its stream is done
        return logits

    def effect(self, images: Tensor) -> Effect:
        """Load the file a second time, as it is loaded here; look at the graph, what of it ran, and the weights."""
        with tempfile.TemporaryDirectory(prefix="densebench-onnx-") as folder:
            # A graph with compiled parts can't be saved: a session that is to save it doesn't start
            optimized = None if self.asked == observed.COMPILES else Path(folder) / "optimized.onnx"
            events = self._watch(images, Path(folder), 1, optimized)
            ran = list(observed.nodes(optimized, events, len(images)))
            optimized_it = observed.rewritten(self.path, ran)
            effect = observed.describe(ran, int8=self.int8, asked=self.asked, optimized=optimized_it)
        if effect.none_because:
            return effect
        unlike = observed.memory(self.session) if self.device == "cpu" else []
        unlike += _streams.described(self.streams, all_threads())
        return effect.plus(*unlike, *describe_weights(observed.weights(self.path), self.details))

    def trace(self, images: Tensor) -> list[TraceEvent]:
        with tempfile.TemporaryDirectory(prefix="densebench-onnx-") as folder:
            events = self._watch(images, Path(folder), WARM_UP + TRACED)
            return observed.chrome_events(events, WARM_UP)

    def _watch(
        self, images: Tensor, folder: Path, runs: int, optimized: Path | None = None
    ) -> list[observed.Event]:
        """The profiler's events of a few inferences in a session like this one."""
        options = session_options(self.details)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        if optimized:
            options.optimized_model_filepath = str(optimized)
        session = self._open(options)
        for _ in range(runs):
            self._run(session, images)
        return observed.read_events(Path(session.end_profiling()))

    def close(self) -> None:
        pass


def _load_libraries() -> None:
    """TensorRT's own, which importing its package loads: pip puts them where the provider doesn't look."""
    with suppress(ImportError):  # a system may have them where it does
        importlib.import_module("tensorrt")  # no import statement: it is no library that the engine needs


def load(folder: Path, details: Details, device: str) -> OnnxSession:
    """A session on the saved file.

    Raises:
        RefusedArtifact: ONNX Runtime can't read the file.

    """
    return OnnxSession(folder / MODEL, details, device)


def calibrates_on(options: Mapping[str, object]) -> int:
    """The number of images that was asked for; with the default, fewer will do."""
    wanted = options["calibration"]
    return wanted if isinstance(wanted, int) and wanted != MOST else 0


def devices(options: Mapping[str, object]) -> tuple[str, ...]:
    """Its own INT8 kernels are for the CPU, and TensorRT is for CUDA."""
    if options["provider"] == "tensorrt":
        return ("cuda",)
    return ("cpu",) if options["precision"] == "int8" else DEVICES


def unavailable(device: str) -> str | None:
    """ONNX Runtime with kernels for the device, and what exports to it."""
    if any(find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")):
        return "pip install 'densebench[onnx]'"
    spec = find_spec("onnxruntime")
    places = (spec.submodule_search_locations if spec else None) or ()
    if device != "cpu" and not any((Path(place) / "capi" / CUDA_LIBRARY).exists() for place in places):
        return "install onnxruntime-gpu in place of onnxruntime"
    return None


ENGINE = Engine(
    "onnx",
    "ONNX Runtime, FP32 or static INT8",
    build,
    load,
    refuses_with=_streams.refuses_with,
    options=OnnxOptions,
    calibrates_on=calibrates_on,
    own_memory=True,
    takes_onnx=True,
    precision=lambda options: "int8" if options["precision"] == "int8" else "float32",
    ceilings={"float32": {}, "int8": {"precision": "int8"}},
    refuses={
        "nhwc": "it lays out memory by itself: leave the memory format out",
        "bfloat16": OWN_PRECISION,
        "float16": OWN_PRECISION,
        "autocast": OWN_PRECISION,
        "tensor_subclass": OWN_PRECISION,
    },
    usage=usage,
    triton=TRITON,
    contains_code=False,
    tolerance=1e-4,
    typical_build_s=40.0,
    devices=devices,
    unavailable=unavailable,
)
