"""Ceilings of this machine: operations a second per precision, with the engine that reached them, and memory.

    python benchmarks/ceilings.py [--device cpu|cuda] [--threads N] [--rounds N]

Always measured anew; the cache that runs use is neither read nor written. Of several rounds the highest figure of
each counts: other work on the machine only ever lowers them.
"""

from __future__ import annotations

import argparse
import time

import torch
from rich.console import Console
from rich.table import Table

from densebench.machine.cpus import placement
from densebench.results.ceilings import Ceilings
from densebench.roofline.probe import measure_ceilings


def highest(rounds: list[Ceilings]) -> Ceilings:
    """Each figure's highest."""
    best = rounds[0]
    for one in rounds[1:]:
        compute = dict(best.compute)
        for precision, ceiling in one.compute.items():
            compute[precision] = max(ceiling, compute.get(precision, ceiling), key=lambda c: c.gop_per_s)
        memory = max(best.memory_gb_per_s, one.memory_gb_per_s)
        best = best.model_copy(update={"compute": compute, "memory_gb_per_s": memory})
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=placement().threads)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    console = Console()
    rounds = []
    for _ in range(given.rounds):
        started = time.monotonic()
        rounds.append(
            measure_ceilings(given.device, given.threads, lambda stage: console.print(f"  {stage}"))
        )
        console.print(f"{time.monotonic() - started:.0f} s")
    found = highest(rounds)
    table = Table("precision", "GOP/s", "engine", "operations/byte at the ridge")
    for precision, one in found.compute.items():
        ridge = f"{one.gop_per_s / found.memory_gb_per_s:.0f}"
        table.add_row(precision, f"{one.gop_per_s:.0f}", one.engine, ridge)
    console.print(table)
    console.print(f"memory copy: {found.memory_gb_per_s:.1f} GB/s, read and written; {given.threads} threads")


if __name__ == "__main__":
    main()
