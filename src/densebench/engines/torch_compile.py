"""`torch.compile`: the graph is captured and compiled by Inductor, C++ on the CPU and Triton on a GPU.

The artifact is the eager one and the compiler's cache, so that a process that loads it compiles nothing again.
The first inference of such a process still traces the model; a deployer without the cache pays the cold start.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densebench.engines import eager
from densebench.engines._precompiled import precompiled_headers
from densebench.engines.base import Built, Engine, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from densebench.served import Served
    from densebench.workloads.base import Workload

CACHE = "compile_cache.tar"
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def build(model: nn.Module, workload: Workload, folder: Path, target: Target) -> Built:
    """Save the module, compile it at the target's batch sizes, and keep what the compiler cached.

    Where several are larger than 1, the batch is marked dynamic: one graph serves them all. Batch 1 has its own.
    """
    import torch

    built = eager.build(model, workload, folder, target)
    started = time.perf_counter()
    details = {**built.details, "dynamic": sum(size > 1 for size in target.batch_sizes) > 1}
    session = CompiledSession(
        eager.load_module(folder, details, target.device), None, dynamic=details["dynamic"]
    )
    try:
        cold_start_s = None
        for batch_size in target.batch_sizes:
            images = torch.zeros(batch_size, *workload.input_shape, device=target.device)
            with torch.inference_mode(), precompiled_headers():
                session(images)
            cold_start_s = cold_start_s or time.perf_counter() - started
        with tarfile.open(folder / CACHE, "w") as archive:
            archive.add(session.cache, arcname=".")
    finally:
        session.close()
    return Built(details=details, caches=(CACHE,), cold_start_s=cold_start_s)


class CompiledSession:
    """A module behind `torch.compile`, with a compiler cache of its own."""

    def __init__(self, module: Served, cache: Path | None, *, dynamic: bool) -> None:
        import torch
        from torch._inductor import config

        self.eager = eager.EagerSession(module)
        self.dynamic = dynamic
        self._folder = tempfile.TemporaryDirectory(prefix="densebench-compile-", ignore_cleanup_errors=True)
        self.cache = self._folder.name
        if cache is not None and cache.exists():
            with tarfile.open(cache) as archive:
                archive.extractall(self.cache, filter="data")
        os.environ[CACHE_VARIABLE] = self.cache
        # Inductor would parse a header of its own in every process, for kernels that don't use it; the switch is
        # part of the cache's key, so it is set where artifacts are built and where they are loaded
        config.cpp_cache_precompile_headers = False
        # trying out each vector instruction set starts a Python with PyTorch, a dozen times in every process; the
        # processor's flags are read all the same
        config.cpp.vec_isa_ok = True
        # NNPACK takes batches below 16 only, and the graph would be bound to that, although oneDNN goes first
        torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]
        self.compiled = torch.compile(module)
        self._counted = _counts()

    def __call__(self, images: Tensor) -> Tensor:
        import torch

        if self.dynamic and images.shape[0] > 1:
            torch._dynamo.maybe_mark_dynamic(images, 0)  # noqa: SLF001 - one graph for every larger batch
        return self.compiled(images)  # type: ignore[no-any-return]

    def effect(self, images: Tensor) -> str:
        """Count graphs and breaks with Dynamo's own counters, beside what the module does inside them."""
        import torch

        from densebench.measure.observe import describe_effect

        with torch.inference_mode():
            self(images)
        graphs, breaks = (now - before for now, before in zip(_counts(), self._counted, strict=True))
        inside = describe_effect(self.eager.module.core, self.eager, images)
        if not graphs:
            return "none: nothing was compiled"
        return "; ".join([f"{graphs} compiled graph{'s' * (graphs > 1)}, {breaks} graph breaks", *inside])

    def trace(self, images: Tensor) -> None:
        pass

    def close(self) -> None:
        self._folder.cleanup()


def _counts() -> tuple[int, int]:
    """Graphs and breaks so far in this process, by Dynamo's own counters."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


def load(folder: Path, details: Mapping[str, Any], device: str) -> CompiledSession:
    """A session that compiles from the saved cache."""
    module = eager.load_module(folder, details, device)
    return CompiledSession(module, folder / CACHE, dynamic=details["dynamic"])


def unavailable(device: str) -> str | None:
    """Inductor needs a C++ compiler on the CPU."""
    if shutil.which(os.environ.get("CXX", "g++")) or device == "cuda":
        return None
    return "install g++"


ENGINE = Engine(
    "compile",
    "torch.compile with Inductor",
    build,
    load,
    contains_code=True,
    tolerance=1e-3,
    typical_build_s=110.0,
    unavailable=unavailable,
    caveat="The compiler's cache is bound to this CPU or GPU and these library versions; "
    "elsewhere the first inference compiles again, and needs a C++ compiler.",
)
