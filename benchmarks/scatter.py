"""What makes fresh processes of one artifact differ? Their scatter under several settings of the process.

    python benchmarks/scatter.py results --recipes baseline,openvino --processes 12

Takes the artifacts of a sweep that is there. The settings take turns in random order, so that drift meets all of
them. Printed for each recipe: the median of the processes' mean latencies, the standard deviation between processes
with its 95 % interval, and what of it the scatter within a process explains.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scipy.stats import chi2

from densebench import jobs
from densebench.isolation import Nursery, plain_environment
from densebench.machine import KEEP_FREED_MEMORY, allowed_threads

ADDR_NO_RANDOMIZE = 0x0040000  # of personality(2)


@dataclass(frozen=True)
class Setting:
    """How processes are started: variables, whether each comes from a server of its own, and where memory lies."""

    variables: Mapping[str, str] = field(default_factory=dict)
    own_server: bool = False
    fixed_addresses: bool = False


SETTINGS = {
    "as in a sweep": Setting(),
    "a server for each": Setting(own_server=True),
    "fixed addresses": Setting(own_server=True, fixed_addresses=True),
    "freed memory kept": Setting(KEEP_FREED_MEMORY),
    "huge pages": Setting({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
    "bound threads": Setting({"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}),
}


@contextmanager
def server(setting: Setting, threads: int, log: Path) -> Iterator[Nursery]:
    """A server of processes; personality(2) is inherited, so it is set while the server is started."""
    libc = ctypes.CDLL(None)
    before = libc.personality(0xFFFFFFFF)
    libc.personality(before | ADDR_NO_RANDOMIZE * setting.fixed_addresses)
    try:
        nursery = Nursery({**plain_environment(threads), **setting.variables}, log)
    finally:
        libc.personality(before)
    with nursery:
        yield nursery


def row(values: list[jobs.Block]) -> tuple[str, ...]:
    """One line of the table: of logarithms, so that deviations are shares."""
    means = [math.log(statistics.mean(block.samples_ms)) for block in values]
    free, sd = len(means) - 1, statistics.stdev(means)
    low, high = (sd * math.sqrt(free / chi2.ppf(q, free)) for q in (0.975, 0.025))
    within = statistics.mean(
        statistics.variance(block.samples_ms) / len(block.samples_ms) / statistics.mean(block.samples_ms) ** 2
        for block in values
    )
    disturbed = sum(bool(block.disturbance) for block in values)
    middle = math.exp(statistics.median(means))
    return (
        f"{middle:.2f}",
        f"{100 * sd:.1f} ({100 * low:.1f} to {100 * high:.1f})",
        f"{100 * math.sqrt(within):.1f}",
        str(disturbed),
    )


def main() -> None:
    """Time every setting in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of a sweep")
    parser.add_argument("--recipes", default="baseline,openvino")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--image-size", type=int, required=True, help="of the sweep")
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--sample-time", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    given = parser.parse_args()
    recipes = given.recipes.split(",")
    found: dict[tuple[str, str], list[jobs.Block]] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="densebench-scatter-")))
        timing = timing_images(scratch, given.batch_size, given.image_size)
        log = scratch / "run.log"
        shared = {
            name: stack.enter_context(server(setting, given.threads, log))
            for name, setting in SETTINGS.items()
            if not setting.own_server
        }
        turns = [(name, recipe) for name in SETTINGS for recipe in recipes]
        for number in range(given.processes):
            for name, recipe in random.Random(number).sample(turns, len(turns)):
                job = jobs.Measure(
                    folder=given.results / "models" / recipe,
                    device="cpu",
                    batch_sizes=(given.batch_size,),
                    timing_file=timing,
                    sample_seconds=given.sample_time,
                    timeout_s=120,
                    slow_reason="",
                    threads=given.threads,
                    trust=False,
                )
                with ExitStack() as own:
                    nursery = shared.get(name) or own.enter_context(
                        server(SETTINGS[name], given.threads, log)
                    )
                    block = nursery.run(job, jobs.Measured, 120).blocks[given.batch_size]
                found.setdefault((recipe, name), []).append(block)
    table = Table(
        title=f"batch {given.batch_size}, {given.image_size} px, {given.processes} processes each, "
        f"{given.threads} threads",
        title_justify="left",
    )
    for column in ("recipe", "setting", "median ms", "sd between, %", "explained within, %", "disturbed"):
        table.add_column(column, justify="left" if column in ("recipe", "setting") else "right")
    for recipe in recipes:
        for name in SETTINGS:
            table.add_row(recipe, name, *row(found[recipe, name]))
    Console().print(table)


def timing_images(folder: Path, count: int, pixels: int) -> Path:
    """Random images: what they show doesn't matter to a latency."""
    import torch
    from safetensors.torch import save_file

    path = folder / "timing.safetensors"
    save_file({"images": torch.randn(count, 3, pixels, pixels)}, path)
    return path


if __name__ == "__main__":
    main()
