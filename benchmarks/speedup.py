"""How much faster than eager FP32 each recipe is, beside the peers' own tools on the very same files.

First a sweep: every recipe at each batch size. Then, for artifacts that `benchmark_app` or a bare ONNX Runtime
loop can run, this project's measuring child and the peer's tool in pairs, several times each: the ratio within pairs
is what the harness costs, with the interval that scattering processes leave. The peer's tool counts every call; here
those that the host held up are left out, so the share of them stands beside the ratio.

    python benchmarks/speedup.py --image-size 224 --batch-sizes 1,8,16
    python benchmarks/speedup.py --from results          # of a sweep that is there, on digits on a CPU

Prints a table of speed-ups with top-1 and the share of the machine's ceiling, one of the peers, and whether each
limit was met: the best single technique, the best stack, each file beside the peer's tool. Exits 1 when one is not,
or when the pairs scatter too much to tell (`--rounds` takes more of them).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in_pairs import LEAST_PAIRS, Compared, Ratio, compare, print_peers
from rich.console import Console
from rich.table import Table

from densebench import engines, loop, read_records
from densebench.machine.cpus import placement
from densebench.results.record import Row
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec

SINGLE, STACK = 7.0, 11.0  # times as fast as eager FP32 at the same batch size
STACK_SIZES = (8, 16)
MOST_LOST = 1.0  # points of top-1 that the stack may lose
NEAR = 0.05  # how far from 1 the ratio to the peer's tool may be


@dataclass(frozen=True)
class Verdict:
    """Whether a limit was met, and the figure that says so; what is not met may be `unclear` in place of missed."""

    met: bool
    text: str
    unclear: bool = False

    @property
    def word(self) -> str:
        """`met`, `unclear` or `missed`."""
        return "met" if self.met else "unclear" if self.unclear else "missed"


def main() -> int:
    """Run the sweep, then the peers; print both tables and the verdicts; returns the exit code."""
    parser = argparse.ArgumentParser(description="Speed-ups over eager FP32, beside the peers' own tools.")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-sizes", default="1,8")
    parser.add_argument("--recipes", default="", help="default: those of the default suite")
    parser.add_argument("--rounds", type=int, default=LEAST_PAIRS, help=f"{LEAST_PAIRS} at least")
    parser.add_argument("--threads", type=int, default=placement().threads)
    parser.add_argument("--output-dir", type=Path, default=Path("results-speedup"))
    parser.add_argument(
        "--from", dest="folder", type=Path, help="a sweep's results, instead of one of its own"
    )
    given = parser.parse_args()
    if given.rounds < LEAST_PAIRS:
        parser.error(f"--rounds {given.rounds}: give {LEAST_PAIRS} at least, fewer pairs have no interval")
    console = Console()
    sizes = [int(size) for size in given.batch_sizes.split(",")]
    wanted: list[str] = given.recipes.split(",") if given.recipes else []
    if given.folder:
        rows = [row for row in read_records(given.folder) if not wanted or row.recipe in wanted]
        if not rows:
            parser.error(f"--recipes {given.recipes}: {given.folder} has none of them")
        given.output_dir, given.image_size = given.folder, rows[0].image_size
    else:
        rows = []
    flags: dict[str, Any] = {"recipes": wanted} if wanted else {}
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
    rows = rows or loop.run(spec, Progress(console)).rows
    rows = [row for row in rows if row.batch_size in sizes]
    print_speedups(rows, sizes, console)
    compared = compare(rows, spec, given.rounds)
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


def judge(rows: Sequence[Row], compared: Sequence[Compared], console: Console) -> int:
    """Print whether each limit was met; returns 1 when one was not, or nobody knows."""
    found = list(verdicts(rows, compared))
    for verdict in found:
        console.print(f"{verdict.word}: {verdict.text}", highlight=False, markup=False, soft_wrap=True)
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
    if not compared:
        yield Verdict(met=False, text="here over the peer's tool: nothing was measured")
        return
    far = [one for one in compared if abs(one.ratio.median - 1) > NEAR]
    named = "".join(f"; {one.recipe} at batch {one.batch_size} {one.ratio}" for one in far)
    near = f"{len(compared) - len(far)} of {len(compared)} files"
    overall = Ratio.of([one.ratio.median for one in compared])
    text = f"here over the peer's tool within {NEAR:.0%}: {near}, {overall} over all{named}"
    yield Verdict(not far, text, unclear=all(one.ratio.may_be_near(NEAR) for one in far))


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
