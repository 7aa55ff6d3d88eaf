"""From an ONNX graph to a plan, by calls that TensorRT 10 and 11 both have.

`library` is the `tensorrt` module: whoever holds it passes it on, and a test may pass another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median_high
from typing import Any

from densebench import build_cache
from densebench.errors import CellFailed
from densebench.machine.facts import MB

TIMINGS = "timing.cache"


@dataclass(frozen=True)
class Plan:
    """A serialized engine, the kernel timings that it was chosen by, and whether some were known before."""

    content: bytes
    timings: bytes
    reused: bool = False


@cache  # the library keeps the first logger for the whole process, so that one must never die
def log_of(library: Any) -> Any:
    """The process's logger: errors and warnings, kept as lines."""

    class Log(library.ILogger):  # type: ignore[misc]
        """The lines so far, most recent last."""

        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in {library.ILogger.INTERNAL_ERROR, library.ILogger.ERROR}:
                self.lines.append(" ".join(msg.split()))

        def last(self) -> str:
            return self.lines[-1][:300] if self.lines else "it gave no reason"

    return Log()


def known_timings(bound: Mapping[str, str]) -> bytes:
    """What earlier builds of the sweep learned of the kernels, for plans that are bound to the same."""
    found = build_cache.recall(_shared(bound))
    return (found.folder / TIMINGS).read_bytes() if found else b""


def keep_timings(bound: Mapping[str, str], content: bytes) -> None:
    """Keep what this build and those before it learned, for the next one."""

    def fill(folder: Path) -> None:
        (folder / TIMINGS).write_bytes(content)

    spares_s = 0.0  # nobody knows: it depends on which of them another plan asks for
    build_cache.keep(_shared(bound), spares_s, fill)


def _shared(bound: Mapping[str, str]) -> list[object]:
    return ["tensorrt timings", dict(bound)]


def plan_of(
    library: Any, graph: bytes, batch_sizes: tuple[int, ...], workspace_mb: int, known: bytes = b""
) -> Plan:
    """Build the plan for this machine's GPU: one profile, fastest at the middle one of the batch sizes.

    Args:
        library: the bindings.
        graph: a serialized ONNX model with one input of shape (batch, c, h, w).
        batch_sizes: the sizes it will be run at; the plan takes every one from 1 to the largest.
        workspace_mb: device memory that a kernel may take for itself, in MB.
        known: kernel timings of earlier builds, if there are any.

    Raises:
        CellFailed: the graph or a layer of it is not supported; with TensorRT's own words.

    """
    log = log_of(library)
    builder = library.Builder(log)
    # in TensorRT 11 every network is strongly typed, and the flag is accepted and ignored
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, log)
    if not parser.parse(graph):
        problems = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise CellFailed(f"TensorRT can't take this graph: {'; '.join(problems)[:300] or log.last()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, workspace_mb * MB)
    config.profiling_verbosity = (
        library.ProfilingVerbosity.DETAILED
    )  # `effect` reads precisions from the plan
    config.clear_flag(library.BuilderFlag.TF32)  # FP32 is FP32, as in every other row
    config.set_flag(library.BuilderFlag.SPARSE_WEIGHTS)  # kernels for 2:4 sparsity, where weights have it
    profile = builder.create_optimization_profile()
    images = network.get_input(0)
    batch, *shape = tuple(images.shape)
    least, middle, most = max(batch, 1), median_high(batch_sizes), max(batch_sizes)  # -1: any batch size
    profile.set_shape(images.name, min=(least, *shape), opt=(middle, *shape), max=(most, *shape))
    if config.add_optimization_profile(profile) < 0:
        raise CellFailed(f"TensorRT refuses the batch sizes {least} to {most}: {log.last()}")
    timings = config.create_timing_cache(known)
    taken = config.set_timing_cache(timings, ignore_mismatch=False)
    reused = bool(known) and bool(taken)
    if known and not taken:  # of another GPU or version, as TensorRT sees it
        timings = config.create_timing_cache(b"")
        taken = config.set_timing_cache(timings, ignore_mismatch=False)
    if not taken:
        raise CellFailed(f"TensorRT refuses an empty timing cache: {log.last()}")
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise CellFailed(f"TensorRT built no plan: {log.last()}")
    return Plan(bytes(content), bytes(config.get_timing_cache().serialize()), reused)
