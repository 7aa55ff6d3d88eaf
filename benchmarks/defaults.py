"""Defaults beside what they replaced, and frozen `torch.compile` beside AOT Inductor: speed-ups with intervals.

    python benchmarks/defaults.py [--folder results-defaults] [--only jit,rest] [--batch-sizes 1,8]

DenseNet-121 at 224 pixels, in the suite's own rounds: each line is a recipe over the one named behind it, in one
interleaved comparison of six rounds. Artifacts stay in the folder. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from lab import DENSENET_PIXELS, Lab, lab

from densebench.engines import torchscript
from densebench.machine.cpus import placement
from densebench.processes import messages
from densebench.spec import BASELINE
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.base import Workload


@dataclass(frozen=True)
class Comparison:
    """Recipes over a former one, by their one-line forms; `unfolded` builds the former as TorchScript was once."""

    former: str
    recipes: tuple[str, ...]
    unfolded: bool = False


LIMIT_S = 1200  # of a build
WORKLOAD = messages.WorkloadJob(
    model="densenet121", weights="digits", data="digits", image_size=DENSENET_PIXELS, seed=0
)
PRUNED = "structured_pruning:fine_tune=false"  # fine-tuning changes no shape
COMPARISONS = {
    "jit": Comparison("jit", ("jit",), unfolded=True),
    "pruning": Comparison(f"{PRUNED}:ratio=0.3", (PRUNED,)),
    "rest": Comparison("openvino:precision=int8:rest=f32", ("openvino:precision=int8",)),
    "frozen": Comparison("aot_inductor", ("compile", "compile:freezing=true")),
}


def main() -> int:
    """Make each comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("results-defaults"))
    parser.add_argument("--only", default=",".join(COMPARISONS))
    parser.add_argument("--batch-sizes", default="1,8")
    parser.add_argument("--threads", type=int, default=placement().threads)
    given = parser.parse_args()
    sizes = [int(size) for size in given.batch_sizes.split(",")]
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=DENSENET_PIXELS))
    for name in given.only.split(","):
        compared = COMPARISONS[name]
        named = {BASELINE: compared.former} | {f"now-{line}": line for line in compared.recipes}
        with lab(given.folder / name, named, given.threads, workload, batch_sizes=sizes) as bench:
            build(bench, compared, workload)
            for size in sizes:
                show(bench, compared, size)
    return 0


def build(bench: Lab, compared: Comparison, workload: Workload) -> None:
    """Save the artifacts, each with the seconds that it took."""
    for name, recipe in bench.site.recipes.items():
        began = time.perf_counter()
        if compared.unfolded and name == BASELINE:
            with unfolded():
                bench.build(name, workload)
        elif not (bench.site.folder(name) / "manifest.json").exists():
            in_a_child(bench, name)
        print(f"built {recipe.line} in {time.perf_counter() - began:.0f} s", flush=True)


def in_a_child(bench: Lab, name: str) -> None:
    """As a sweep builds: a compiler keeps in memory what it compiled before, and saves none of it twice."""
    spec = bench.site.spec
    job = messages.Build(
        workload=WORKLOAD,
        recipe=name,
        named=spec.named,
        device="cpu",
        batch_sizes=spec.batch_sizes,
        folder=bench.site.folder(name),
        threads=bench.site.threads,
    )
    bench.site.pool.plain.run(job, messages.BuildDone, LIMIT_S)


@contextmanager
def unfolded() -> Iterator[None]:
    """TorchScript as it is frozen, with the batch norms that freezing leaves."""
    with mock.patch.object(torchscript, "_folded", lambda program: program):
        yield


def show(bench: Lab, compared: Comparison, size: int) -> None:
    """Compare at a batch size, and print a line for each recipe."""
    began = time.perf_counter()
    for row in bench.compare(*(f"now-{line}" for line in compared.recipes), size=size):
        first = [one.samples.first_inference_s for one in row.timed_processes]
        waits = [one for one in first if one is not None]
        print(
            f"batch {size}: {row.recipe.removeprefix('now-')} over {compared.former}"
            f"{' unfolded' * compared.unfolded}: {row.speedup:.3f}x ({row.speedup_ci_low:.3f} to "
            f"{row.speedup_ci_high:.3f}), {row.verdict}; {row.throughput_samples_per_s:.1f} images/s; first "
            f"inference after {sum(waits) / len(waits):.1f} s",
            flush=True,
        )
    print(f"  in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
