"""`torch.compile`: the graph is captured and compiled by Inductor, C++ on the CPU and Triton on a GPU.

The artifact is the eager one and the compiler's cache, so that a process that loads it compiles nothing again.
The first inference of such a process still traces the model; a deployer without the cache pays the cold start.
With `freezing` the weights are constants that are folded and packed. Inductor caches such a graph's kernels and not
the graph, which the first inference of a process makes again.
"""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from densebench.engines import _plain_pytorch, _ran, eager
from densebench.engines._inductor import inductor, no_compiler, no_headers, no_triton
from densebench.engines._precompiled import precompiled_headers
from densebench.engines.base import Built, Details, Engine, Target, claimed
from densebench.schema import Caveat, Effect
from densebench.techniques.base import Option, Options

if TYPE_CHECKING:
    from torch import Tensor, nn

    from densebench.model.adapter import Served
    from densebench.workloads.base import Workload

CACHE = "compile_cache.tar"
SETTINGS = {"dynamic": False, "mode": "default", "freezing": False}
PACKED = {"mkldnn::_convolution_pointwise", "mkldnn::_linear_pointwise", "mkl::_mkl_linear"}


class CompileOptions(Options):
    """How Inductor compiles."""

    mode: Annotated[
        Literal["default", "reduce-overhead", "max-autotune"],
        Option(("default", "reduce-overhead", "max-autotune"), cost=(1.0, 1.0, 3.0)),
    ] = Field(
        "default", description="reduce-overhead: CUDA graphs; max-autotune: kernels chosen by timing them"
    )
    freezing: Annotated[bool, Option((False, True))] = Field(
        default=False,
        description="weights become constants, folded and packed; each process then compiles the graph anew",
    )


def build(
    model: nn.Module,
    workload: Workload,
    folder: Path,
    target: Target,
    *,
    mode: str = "default",
    freezing: bool = False,
) -> Built:
    """Save the module, compile it at the target's batch sizes, and keep what the compiler cached.

    Where several are larger than 1, the batch is marked dynamic: one graph serves them all. Batch 1 has its own.
    """
    import torch

    built = eager.build(model, workload, folder, target)
    started = time.perf_counter()
    dynamic = sum(size > 1 for size in target.batch_sizes) > 1
    details = {**built.details, "dynamic": dynamic, "mode": mode, "freezing": freezing}
    session = load(folder, details, target.device)
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

    def __init__(
        self,
        module: Served,
        cache: Path,
        claimed: str = "float32",
        *,
        dynamic: bool,
        mode: str,
        freezing: bool,
    ) -> None:
        import torch

        self.module = module
        self.claimed = claimed
        self.dynamic = dynamic
        self.freezing = freezing
        self.without_graphs = mode == "reduce-overhead" and module.device_type != "cuda"
        self.cuda_graphs = mode != "default" and module.device_type == "cuda"
        self._folder = tempfile.TemporaryDirectory(prefix="densebench-compile-", ignore_cleanup_errors=True)
        self.cache = self._folder.name
        if cache.exists():
            with tarfile.open(cache) as archive:
                archive.extractall(self.cache, filter="data")
        self.compiled = torch.compile(module, mode=mode)
        self._compiled_for: set[torch.Size] = set()
        self._counted = _counts()

    def __call__(self, images: Tensor) -> Tensor:
        import torch

        if images.shape in self._compiled_for:
            return self._run(images)
        # else the second batch size would have another graph than in a process that begins with it, and no cache
        once_each = torch._dynamo.config.patch(automatic_dynamic_shapes=False)  # noqa: SLF001
        with inductor(self.cache, freezing=self.freezing), once_each:
            logits = self._run(images)
        self._compiled_for.add(images.shape)
        return logits

    def _run(self, images: Tensor) -> Tensor:
        import torch

        if self.dynamic and images.shape[0] > 1:
            torch._dynamo.maybe_mark_dynamic(images, 0)  # noqa: SLF001 - one graph for every larger batch
        if self.cuda_graphs:  # whose output is overwritten by the next call
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return self.compiled(images).clone()  # type: ignore[no-any-return]
        return self.compiled(images)  # type: ignore[no-any-return]

    def effect(self, images: Tensor) -> Effect:
        """Count graphs and breaks with Dynamo's own counters, and what the compiled code is seen to run."""
        import torch

        with torch.inference_mode():
            self(images)
            if (
                _counts() == self._counted
            ):  # another session of this process had compiled what serves this one
                torch._dynamo.reset()  # noqa: SLF001 - and is counted anew
                self._compiled_for.clear()
                self(images)
        graphs, breaks = (now - before for now, before in zip(_counts(), self._counted, strict=True))
        if not graphs:
            return Effect(none_because="nothing was compiled")
        nothing, inside = self._inside(images)
        if nothing:
            return nothing
        said = [f"{graphs} compiled graph{'s' * (graphs > 1)}, {breaks} graph breaks"]
        if self.freezing:
            packed = _packed_layers(lambda: self(images))
            said.append(
                f"frozen, weights of {packed} layers packed"
                if packed
                else "frozen, no layer's weights were packed"
            )
        else:
            said.append("not frozen")
        if self.without_graphs:
            said.append("reduce-overhead is CUDA graphs, which a CPU has none of")
        return Effect(seen=(*said, *inside))

    def _inside(self, images: Tensor) -> tuple[Effect | None, list[str]]:
        """No effect, where the compiled code doesn't compute as claimed; else what it computes in, and its weights.

        On a GPU its layout isn't seen, and in CUDA graphs nothing is: there the module says what it had before.
        """
        from densebench.model import inspection

        ran = _ran.convolutions(lambda: self(images), self.module.device_type)
        before = inspection.observe(self.module.core, self.module, images)
        said = inspection.describe_precisions(ran.precisions)
        if ran.layouts is not None:
            said += inspection.describe_layout(ran.layouts)
        else:
            unsaid = [] if ran.precisions else inspection.describe_precisions(before.convolutions)
            said += [f"uncompiled: {one}" for one in [*unsaid, *inspection.describe_layout(before.layouts)]]
        said += inspection.describe_weights(self.module.core, before)
        return inspection.unseen(self.claimed, ran.precisions), said

    def trace(self, images: Tensor) -> None:
        pass

    def close(self) -> None:
        self._folder.cleanup()


def _counts() -> tuple[int, int]:
    """Graphs and breaks so far in this process, by Dynamo's own counters."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


def _packed_layers(run: Callable[[], object]) -> int:
    """Layers of one call whose kernels take packed weights, by PyTorch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()
    return sum(event.name in PACKED for event in profiler.events() or ())


def load(folder: Path, details: Details, device: str) -> CompiledSession:
    """A session that compiles from the saved cache."""
    module = eager.load_module(folder, details, device)
    settings = {name: details.get(name, default) for name, default in SETTINGS.items()}
    return CompiledSession(module, folder / CACHE, claimed(details), **settings)


def usage(details: Details, device: str = "cpu") -> str:
    """The module and `torch.compile`, which compiles at the first call: the cache isn't used."""
    freezing = "from torch._inductor import config\nconfig.freezing = True\n" if details["freezing"] else ""
    compiled = f"compiled = torch.compile(model, mode={details['mode']!r})\n"
    return (
        _plain_pytorch.model_code(details, device)
        + freezing
        + compiled
        + _plain_pytorch.call_code(details, device, "compiled")
    )


def unavailable(device: str) -> str | None:
    """Inductor needs a C++ compiler on the CPU, Triton a C compiler on a GPU, and both need Python's headers."""
    return no_triton() if device == "cuda" else no_compiler() or no_headers()


ENGINE = Engine(
    "compile",
    "torch.compile with Inductor",
    build,
    load,
    options=CompileOptions,
    usage=usage,
    tolerance=1e-3,
    typical_build_s=110.0,
    unavailable=unavailable,
    caveat=Caveat(
        text="The compiler's cache is bound to this CPU or GPU and these library versions; "
        "elsewhere the first inference compiles again, and needs a C++ compiler.",
        kind="portability",
    ),
)
