"""How much faster than eager FP32 each recipe is, beside the peers' own tools on the very same files.

First a sweep: every recipe at each batch size. Then, for artifacts that `benchmark_app` or a bare ONNX Runtime
loop can run, this project's measuring child and the peer's tool in turn, several times each: the ratio of their
medians is what the harness costs. The peer's tool counts every call; here those that the host held up are left
out, so the share of them stands beside the ratio.

    python benchmarks/speedup.py --image-size 224 --batch-sizes 1,8,16 --rounds 5
    python benchmarks/speedup.py --from results          # of a sweep that is there, on digits on a CPU

Prints a table of speed-ups with top-1 and the share of the machine's ceiling, one of the peers, and whether each
limit was met: the best single technique, the best stack, each file beside the peer's tool. Exits 1 when one is
missed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import LIMIT_S, SECONDS, Peer, bare_loop, benchmark_app
from rich.console import Console
from rich.table import Table

from densebench import engines, jobs, read_records, suite
from densebench.machine import allowed_threads
from densebench.record import Row, Status
from densebench.sinks.console import Progress
from densebench.spec import RunSpec

PEERS: dict[str, Peer] = {"model.onnx": bare_loop, "model.xml": benchmark_app}
SINGLE, STACK = 7.0, 11.0  # times as fast as eager FP32 at the same batch size
STACK_SIZES = (8, 16)
MOST_LOST = 1.0  # points of top-1 that the stack may lose
NEAR = 0.05  # how far from 1 a file's ratio to the peer's tool may be


@dataclass(frozen=True)
class Verdict:
    """Whether a limit was met, and the figure that says so."""

    met: bool
    text: str


@dataclass(frozen=True)
class Compared:
    """One file at one batch size: images a second here and in the peer's tool, and the calls not counted here."""

    recipe: str
    batch_size: int
    ours: float
    theirs: float
    left_out: float
    tool: str

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def main() -> int:
    """Run the sweep, then the peers; print both tables and the verdicts; returns the exit code."""
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
    rows = [row for row in rows if row.batch_size in sizes]
    print_speedups(rows, sizes, console)
    compared = list(compare(rows, spec, given.rounds))
    print_peers(compared, given.rounds, console)
    return judge(rows, compared, console)


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


def compare(rows: Sequence[Row], spec: RunSpec, rounds: int) -> Iterator[Compared]:
    """Measure here and with the peer's tool in turn on the same files."""
    progress = Progress(Console(stderr=True))
    threads = spec.threads or allowed_threads()
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
            tool, precision = PEERS[file.name], details.get("precision", "")
            here, left_out, peer = [], [], []
            for _ in range(rounds):
                measured = nurseries.plain.run(job, jobs.Measured, LIMIT_S)
                block = measured.blocks[row.batch_size]
                here.append(1000 * len(block.samples_ms) * row.batch_size / sum(block.samples_ms))
                left_out.append(block.left_out)
                peer.append(tool(file, row.batch_size, spec.image_size, threads, precision))
            yield Compared(
                row.recipe,
                row.batch_size,
                statistics.median(here),
                statistics.median(peer),
                statistics.mean(left_out),
                tool.__name__.replace("_", " "),
            )


def print_peers(compared: Sequence[Compared], rounds: int, console: Console) -> None:
    """Each file's figures, then the ratio over all of them."""
    table = Table(title=f"the same file, measured in turn, medians of {rounds}", title_justify="left")
    for column in ("recipe", "batch", "here", "peer", "here / peer", "left out here", "peer's tool"):
        table.add_column(column)
    for one in compared:
        figures = (f"{one.ours:.1f}", f"{one.theirs:.1f}", f"{one.ratio:.3f}", f"{one.left_out:.1%} of calls")
        table.add_row(one.recipe, str(one.batch_size), *figures, one.tool)
    console.print(table)
    logs = [math.log(one.ratio) for one in compared]
    if len(logs) > 1:
        centre, half = statistics.mean(logs), 2 * statistics.stdev(logs) / math.sqrt(len(logs))
        low, high = math.exp(centre - half), math.exp(centre + half)
        console.print(f"over all files: {math.exp(centre):.3f} ({low:.3f} to {high:.3f})", highlight=False)


def judge(rows: Sequence[Row], compared: Sequence[Compared], console: Console) -> int:
    """Print whether each limit was met; returns 1 when one was missed."""
    found = list(verdicts(rows, compared))
    for verdict in found:
        word = "met" if verdict.met else "missed"
        console.print(f"{word}: {verdict.text}", highlight=False, markup=False, soft_wrap=True)
    return int(not all(verdict.met for verdict in found))


def verdicts(rows: Sequence[Row], compared: Sequence[Compared]) -> Iterator[Verdict]:
    """One for each limit; a limit that nothing was measured for is missed."""
    yield _fastest("best single technique", SINGLE, [row for row in rows if _changes(row) == 1])
    sizes = " or ".join(map(str, STACK_SIZES))
    kept = [
        row
        for row in rows
        if row.accuracy_drop_pp is not None and round(row.accuracy_drop_pp, 2) <= MOST_LOST
    ]
    stacks = [row for row in kept if row.batch_size in STACK_SIZES and _changes(row) > 1]
    yield _fastest(
        f"best stack at batch {sizes} that loses {MOST_LOST:g} point of top-1 at most", STACK, stacks
    )
    far = [one for one in compared if abs(one.ratio - 1) > NEAR]
    named = "".join(f"; {one.recipe} at batch {one.batch_size} {one.ratio:.3f}" for one in far)
    near = len(compared) - len(far)
    text = f"here over the peer's tool within {NEAR:.0%}: {near} of {len(compared)} files{named}"
    yield Verdict(bool(compared) and not far, text)


def _fastest(what: str, limit: float, rows: Sequence[Row]) -> Verdict:
    best = max((row for row in rows if row.speedup), key=lambda row: row.speedup or 0.0, default=None)
    if best is None or best.speedup is None:
        return Verdict(met=False, text=f"{what}: none was measured, the limit is {limit:g}x")
    text = f"{what}: {best.recipe} {best.speedup:.2f}x at batch {best.batch_size}, the limit is {limit:g}x"
    return Verdict(best.speedup >= limit, text)


def _changes(row: Row) -> int:
    """Techniques and engines of the recipe that the baseline hasn't."""
    return len([step for step in row.steps.split("+") if step != engines.default().name])


if __name__ == "__main__":
    raise SystemExit(main())
