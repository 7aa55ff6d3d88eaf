"""An artifact's throughput here and in its peer's own tool, from fresh processes in pairs, one after the other."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import LIMIT_S, SECONDS, Peer, bare_loop, benchmark_app
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import quantile_test

from densebench.executors.opening import opened
from densebench.machine.cpus import placement
from densebench.processes import messages
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec

CONFIDENCE = 0.95
LEAST_PAIRS = 6  # that have an interval
PEERS: dict[str, Peer] = {"model.onnx": bare_loop, "model.xml": benchmark_app}


@dataclass(frozen=True)
class Compared:
    """One file at one batch size: images a second here and in the peer's tool of each pair, one after the other."""

    recipe: str
    batch_size: int
    tool: str
    ours: Sequence[float]
    theirs: Sequence[float]
    left_out: float  # share of the calls that don't count here

    @property
    def ratio(self) -> Ratio:
        return Ratio.of([here / there for here, there in zip(self.ours, self.theirs, strict=True)])


@dataclass(frozen=True)
class Ratio:
    """A median with its 95 % interval, which no shape of distribution is assumed for.

    A shared machine's host changes its speed for minutes at a time: where it does so within a pair, that pair's ratio
    tells nothing, and would move a mean.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        """From at least six; fewer have no interval."""
        low, high = quantile_test(ratios).confidence_interval(CONFIDENCE)
        unbounded = math.isnan(low) or math.isnan(high)
        return cls(statistics.median(ratios), *((0.0, math.inf) if unbounded else (low, high)))

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"

    def may_be_near(self, near: float) -> bool:
        """Whether its interval has ratios that are this near to 1."""
        return self.low <= 1 + near and self.high >= 1 - near


def compare(rows: Sequence[Row], spec: RunSpec, rounds: int) -> list[Compared]:
    """Measure here and with the peer's tool on the same files, in pairs, from processes of its own in each round."""
    console = Console(stderr=True)
    threads = placement(spec.threads).threads
    files = {
        (row.recipe, row.batch_size): folder / name
        for row in rows
        if row.status is Status.OK and row.artifact
        for folder in [spec.output_dir / row.artifact]
        for name in PEERS
        if (folder / name).exists()
    }
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {which: [] for which in files}
    with opened(spec, [], Progress(console)) as site:

        def here(file: Path, size: int) -> tuple[float, float]:
            job = messages.Measure(
                folder=file.parent,
                device=site.workload.device,
                batch_sizes=(size,),
                timing_file=site.timing_file,
                sample_seconds=SECONDS,
                timeout_s=LIMIT_S,
                slow_reason="",
                threads=threads,
                trust=False,
            )
            found = site.pool.plain.run(job, messages.Measured, LIMIT_S).samples[size]
            return 1000 * len(found.samples_ms) * size / sum(found.samples_ms), found.left_out

        def there(file: Path, size: int) -> float:
            details = json.loads((file.parent / "manifest.json").read_bytes())["details"]
            precision = details.get("rest") or details.get("precision", "")  # INT8 is in the file
            return PEERS[file.name](file, size, spec.image_size, threads, precision)

        every = [(number, which) for number in range(rounds) for which in files]
        for number, which in track(every, "files, alternating with the peers' tools", console=console):
            if number and which == next(iter(files)):
                site.pool.renew()
            file, size = files[which], which[1]
            if number % 2:
                theirs, (ours, left_out) = there(file, size), here(file, size)
            else:
                (ours, left_out), theirs = here(file, size), there(file, size)
            found[which].append((ours, theirs, left_out))
    return [_compared(which, PEERS[files[which].name], figures) for which, figures in found.items()]


def _compared(which: tuple[str, int], tool: Peer, figures: Sequence[tuple[float, float, float]]) -> Compared:
    ours, theirs, left_out = zip(*figures, strict=True)
    return Compared(*which, tool.__name__.replace("_", " "), ours, theirs, statistics.fmean(left_out))


def print_peers(compared: Sequence[Compared], rounds: int, console: Console) -> None:
    """Each file's figures, then the ratio over all of them."""
    title = f"the same file, in {rounds} pairs of fresh processes: medians, of their ratios with 95 %"
    table = Table(title=title, title_justify="left")
    for column in ("recipe", "batch", "here", "peer", "here / peer", "left out", "peer's tool"):
        table.add_column(column)
    for one in compared:
        medians = (f"{statistics.median(figures):.1f}" for figures in (one.ours, one.theirs))
        table.add_row(
            one.recipe, str(one.batch_size), *medians, str(one.ratio), f"{one.left_out:.1%}", one.tool
        )
    console.print(table)
