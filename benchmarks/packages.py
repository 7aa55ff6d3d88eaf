"""Whether one AOT Inductor package for any batch size costs speed against a package for each.

    python benchmarks/packages.py [--image-size 224] [--batch-sizes 1,8,32] [--precision fp32]

Builds DenseNet-121 with the digits checkpoint once as the suite does, and once more for each batch size with that
size fixed. Then a process on either alternates with one on the other, several pairs for each batch size. Printed:
what each takes to build and how large it is, images a second, and the fixed package's throughput over the one of the
suite, geometric means over the pairs with two standard errors.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from spinning import Process
from torch import Tensor, nn
from torch.export import ExportedProgram

from densebench.engines import aot_inductor
from densebench.machine.cpus import placement
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.worker.build import build_artifact
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.base import Workload

PAIRS, SLICES, SLICE_S = 5, 4, 0.5


def build(workload: Workload, given: argparse.Namespace, folder: Path, *sizes: int) -> float:
    """Save the suite's artifact for these batch sizes; returns the seconds that it took."""
    recipe = f"aot_inductor:precision={given.precision}"
    job = messages.Build(
        workload=messages.WorkloadJob(
            model="densenet121", weights="digits", data="digits", image_size=given.image_size, seed=0
        ),
        recipe=recipe,
        named={},
        device="cpu",
        batch_sizes=sizes,
        folder=folder,
        threads=given.threads,
    )
    return build_artifact(job, resolve(recipe, {}), workload, lambda stage: None)


def build_fixed(workload: Workload, given: argparse.Namespace, folder: Path, size: int) -> float:
    """The same with the batch size fixed."""

    def exported(module: nn.Module, example: Tensor) -> ExportedProgram:
        return torch.export.export(module, (example[:size],))

    with mock.patch.object(aot_inductor, "exported", exported):
        return build(workload, given, folder, size)


def alternated(folders: Sequence[Path], given: argparse.Namespace, size: int) -> list[list[float]]:
    """Images a second of each folder's artifact, from fresh processes that alternate; one list for each pair."""
    found = []
    for _ in range(PAIRS):
        both = [Process(folder, given.image_size, given.threads, size) for folder in folders]
        times_s: list[list[float]] = [[] for _ in both]
        for _ in range(SLICES):
            for one, seen in zip(both, times_s, strict=True):
                one.calls(1)  # the first call after a pause is slow
                seen += [seconds for _, seconds in one.slice(SLICE_S)]
        for one in both:
            one.child.kill()
        found.append([size * len(seen) / sum(seen) for seen in times_s])
    return found


def main() -> None:
    """Build, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-sizes", default="1,8,32")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--threads", type=int, default=placement().threads)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    sizes = [int(size) for size in given.batch_sizes.split(",")]
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=given.image_size))
    what = f"{given.precision}, {given.image_size} px, {given.threads} threads"
    table = Table(title=what, title_justify="left")
    for column in ("batch", "any size, images/s", "fixed size, images/s", "fixed over any", "build, s", "MB"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(prefix="densebench-packages-") as scratch:
        any_size = Path(scratch) / "any"
        build_s = build(workload, given, any_size, *sizes)
        table.add_row("any", "", "", "", f"{build_s:.0f}", megabytes(any_size))
        for size in sizes:
            fixed = Path(scratch) / f"fixed{size}"
            build_s = build_fixed(workload, given, fixed, size)
            pairs = alternated((any_size, fixed), given, size)
            means = [f"{statistics.fmean(one):.1f}" for one in zip(*pairs, strict=True)]
            table.add_row(str(size), *means, ratio(pairs), f"{build_s:.0f}", megabytes(fixed))
    Console().print(table)


def megabytes(folder: Path) -> str:
    """The package's size."""
    return f"{(folder / aot_inductor.PACKAGE).stat().st_size / 1e6:.0f}"


def ratio(pairs: Sequence[Sequence[float]]) -> str:
    """The second's throughput over the first's."""
    logs = [math.log(second / first) for first, second in pairs]
    mean, half = math.exp(statistics.fmean(logs)), 2 * statistics.stdev(logs) / len(logs) ** 0.5
    return f"{mean:.3f} ± {mean * half:.3f}"


if __name__ == "__main__":
    main()
