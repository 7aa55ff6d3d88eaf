"""How much faster than eager FP32 each recipe is, beside the peers' own tools on the very same files.

First a sweep: every recipe at each batch size. Then, for artifacts that `benchmark_app` or a bare ONNX Runtime
loop can run, this project's measuring child and the peer's tool in turn, several times each: the ratio of their
medians is what the harness costs.

    python benchmarks/speedup.py --image-size 224 --batch-sizes 1,8 --rounds 5
    python benchmarks/speedup.py --from results          # of a sweep that is there, on digits on a CPU

Prints a table of speed-ups with top-1 and the share of the machine's ceiling, and one of the peers.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path

from peers import LIMIT_S, SECONDS, Peer, bare_loop, benchmark_app
from rich.console import Console
from rich.table import Table

from densebench import jobs, read_records, suite
from densebench.machine import allowed_threads
from densebench.record import Row, Status
from densebench.sinks.console import Progress
from densebench.spec import RunSpec

PEERS: dict[str, Peer] = {"model.onnx": bare_loop, "model.xml": benchmark_app}


def main() -> None:
    """Run the sweep, then the peers, and print both tables."""
    parser = argparse.ArgumentParser(description="Speed-ups over eager FP32, beside the peers' own tools.")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-sizes", default="1,8")
    parser.add_argument("--recipes", default="", help="default: those of the default suite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    parser.add_argument("--output-dir", type=Path, default=Path("results-speedup"))
    parser.add_argument(
        "--from", dest="folder", type=Path, help="a sweep's results, instead of one of its own"
    )
    given = parser.parse_args()
    console = Console()
    sizes = [int(size) for size in given.batch_sizes.split(",")]
    if given.folder:
        rows = read_records(given.folder)
        given.output_dir, given.image_size = given.folder, rows[0].image_size
    else:
        rows = []
    flags = {"recipes": given.recipes.split(",")} if given.recipes else {}
    spec = RunSpec.create(
        weights="digits",
        data="digits",
        device="cpu",
        image_size=given.image_size,
        batch_sizes=sizes,
        threads=given.threads,
        output_dir=given.output_dir,
        log_dir=given.output_dir / "logs",
        **flags,
    )
    rows = rows or suite.run(spec, Progress(console)).rows
    print_speedups(rows, sizes, console)
    print_peers([row for row in rows if row.batch_size in sizes], spec, given.rounds, console)


def print_speedups(rows: list[Row], sizes: list[int], console: Console) -> None:
    """Each recipe's speed-up at each batch size, with what it keeps of the accuracy."""
    table = Table(
        title="throughput over eager FP32 at the same batch size, and share of the ceiling of its precision",
        title_justify="left",
    )
    table.add_column("recipe")
    for size in sizes:
        table.add_column(f"batch {size}", justify="right")
    table.add_column("top-1, %", justify="right")
    for recipe in dict.fromkeys(row.recipe for row in rows):
        found = {row.batch_size: row for row in rows if row.recipe == recipe}
        speeds = [_speed(found[size]) if size in found else "-" for size in sizes]
        top1 = next((row.accuracy_top1 for row in found.values() if row.accuracy_top1 is not None), None)
        table.add_row(recipe, *speeds, "-" if top1 is None else f"{top1:.1f}")
    console.print(table)


def _speed(row: Row) -> str:
    share = "" if row.roofline_fraction is None else f", {row.roofline_fraction:.0%}"
    return f"{row.speedup:.2f}x{share}" if row.speedup else "-"


def print_peers(rows: list[Row], spec: RunSpec, rounds: int, console: Console) -> None:
    """Measure here and with the peer's tool in turn on the same files; print medians over the rounds."""
    table = Table(title=f"the same file, measured in turn, medians of {rounds}", title_justify="left")
    for column in ("recipe", "batch", "here", "peer", "here / peer", "peer's tool"):
        table.add_column(column)
    progress = Progress(Console(stderr=True))
    threads = spec.threads or allowed_threads()
    logs: list[float] = []
    with suite.opened(spec, threads, progress) as (nurseries, workload, timing_file):
        for row in rows:
            folder = spec.output_dir / row.artifact if row.status is Status.OK and row.artifact else None
            file = next((folder / name for name in PEERS if folder and (folder / name).exists()), None)
            if folder is None or file is None:
                continue
            job = jobs.Measure(
                folder=folder,
                device=workload.device,
                batch_sizes=(row.batch_size,),
                timing_file=timing_file,
                sample_seconds=SECONDS,
                timeout_s=LIMIT_S,
                slow_reason="",
                threads=threads,
                trust=False,
            )
            details = json.loads((folder / "manifest.json").read_bytes())["details"]
            here, peer = [], []
            for _ in range(rounds):
                measured = nurseries.plain.run(job, jobs.Measured, LIMIT_S)
                samples = measured.blocks[row.batch_size].samples_ms
                here.append(1000 * len(samples) * row.batch_size / sum(samples))
                peer.append(
                    PEERS[file.name](
                        file, row.batch_size, spec.image_size, threads, details.get("precision", "")
                    )
                )
            ours, theirs = statistics.median(here), statistics.median(peer)
            logs.append(math.log(ours / theirs))
            tool = PEERS[file.name].__name__.replace("_", " ")
            table.add_row(
                row.recipe, str(row.batch_size), f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.3f}", tool
            )
    console.print(table)
    if len(logs) > 1:
        centre, half = statistics.mean(logs), 2 * statistics.stdev(logs) / math.sqrt(len(logs))
        low, high = math.exp(centre - half), math.exp(centre + half)
        console.print(f"over all files: {math.exp(centre):.3f} ({low:.3f} to {high:.3f})", highlight=False)


if __name__ == "__main__":
    main()
