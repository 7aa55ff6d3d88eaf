"""What a cell costs beside its own inferences: in a child of the fork server, and in a Python process of its own.

One artifact is built once and measured many times at batch 1, by the two ways alternately. Of a cell's wall
time, seen by the parent from asking for it to having its answer with the child gone, the first inference and the
phase of warm-up and timed batches are taken off. What is left is fixed: starting the process, importing PyTorch
where that is not done already, checking the artifact's hashes, loading it, and ending.

    python benchmarks/overhead.py --cells 10 --image-size 32
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from densebench.executors.opening import opened
from densebench.processes import messages
from densebench.processes.environment import plain_environment
from densebench.processes.fork_server import ForkServer
from densebench.recipes.parse import resolve
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec

LIMIT_S = 600.0
RECIPE = "eager"
SPAWNED = (
    "import sys; from densebench.worker import jobs; jobs.preload(); "
    "jobs.run(sys.stdin.buffer.read(), int(sys.argv[1]))"
)
Way = Callable[[messages.Measure], "Cell"]


@dataclass(frozen=True)
class Cell:
    """One measurement: seconds of wall time, of that outside the inferences, and of that for loading."""

    wall_s: float
    fixed_s: float
    load_s: float


class Watch:
    """When the job began and when its stages did."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.entered: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """Note that the child has entered a stage."""
        self.entered[name] = time.perf_counter()

    def cell(self, measured: messages.Measured) -> Cell:
        """What the finished job took."""
        wall_s = time.perf_counter() - self.started
        timing_s = self.entered["batch 1 done"] - self.entered["batch 1"]
        return Cell(wall_s, wall_s - timing_s, measured.samples[1].load_s or 0.0)


def by_fork_server(fork_server: ForkServer) -> Way:
    """Measure in a fork of a process that has PyTorch already, as `densebench run` does."""

    def run(job: messages.Measure) -> Cell:
        watch = Watch()
        return watch.cell(fork_server.run(job, messages.Measured, LIMIT_S, watch.stage))

    return run


def by_spawning(environment: dict[str, str]) -> Way:
    """Measure in a Python process that starts from nothing."""

    def run(job: messages.Measure) -> Cell:
        watch = Watch()
        packet = json.dumps({"job": job.model_dump(mode="json")}).encode()
        reader, writer = os.pipe()
        command = [sys.executable, "-c", SPAWNED, str(writer)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writer], env=environment) as child:
            os.close(writer)
            assert child.stdin is not None
            child.stdin.write(packet)
            child.stdin.close()
            measured = _follow(reader, watch)
        return watch.cell(measured)

    return run


def _follow(reader: int, watch: Watch) -> messages.Measured:
    with os.fdopen(reader) as lines:
        for line in lines:
            message = messages.Message.model_validate_json(line)
            if message.stage:
                watch.stage(message.stage)
            elif message.result is not None:
                result = message.result
    return messages.Measured.model_validate(result)


def cells(arguments: argparse.Namespace, ways: dict[str, list[Cell]]) -> Iterator[str]:
    """Fill `ways` with cells measured alternately, saying after each what was measured."""
    spec = RunSpec.create(
        recipes=[RECIPE],
        model=arguments.model,
        weights="random",
        data="none",
        image_size=arguments.image_size,
        device="cpu",
        batch_sizes=[1],
        threads=arguments.threads,
        cell_timeout=LIMIT_S,
    )
    environment = plain_environment(arguments.threads)
    with (
        tempfile.TemporaryDirectory(prefix="densebench-overhead-") as folder,
        opened(spec, [resolve(RECIPE, {})], Progress(Console(stderr=True))) as site,
    ):
        build = messages.Build(
            workload=site.workload.workload,
            recipe=RECIPE,
            named={},
            device="cpu",
            batch_sizes=(1,),
            folder=Path(folder) / RECIPE,
            threads=arguments.threads,
        )
        site.pool.plain.run(build, messages.BuildDone, LIMIT_S)
        job = messages.Measure(
            folder=build.folder,
            device="cpu",
            batch_sizes=(1,),
            timing_file=site.timing_file,
            sample_seconds=0.1,
            timeout_s=LIMIT_S,
            slow_reason="",
            threads=arguments.threads,
            trust=False,
        )
        runners = {
            "fork server's child": by_fork_server(site.pool.plain),
            "spawned process": by_spawning(environment),
        }
        for number in range(arguments.cells):
            for name, way in runners.items():
                ways.setdefault(name, []).append(way(job))
                yield f"{name}, cell {number + 1} of {arguments.cells}"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10, help="measurements by each way")
    parser.add_argument("--image-size", type=int, default=32, help="height and width of the input, in pixels")
    parser.add_argument("--model", default="densenet121", help="any torchvision classifier")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the measuring process")
    ways: dict[str, list[Cell]] = {}
    progress = Console(stderr=True)
    for done in cells(parser.parse_args(), ways):
        progress.print(done, style="dim", highlight=False)
    table = Table(title="seconds a cell, median (least to most)", title_justify="left")
    table.add_column("way")
    for column in ("fixed cost", "of it loading", "wall time"):
        table.add_column(column, justify="right")
    for name, measured in ways.items():
        table.add_row(
            name,
            _spread([cell.fixed_s for cell in measured]),
            _spread([cell.load_s for cell in measured]),
            _spread([cell.wall_s for cell in measured]),
        )
    Console().print(table)


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
