"""How much fresh processes of one artifact differ by themselves, and how much by the moment at which they ran.

    python benchmarks/scatter.py results --recipes baseline,openvino --image-size 224

Takes the artifacts of a sweep that is there. Some processes of each recipe live at the same time and alternate, a
short slice each, in random order; the others wait in a read and use no processor. A two-way analysis of variance
then tells how much is the process (the same in all its slices), how much the moment (the same for all processes of a
pass) and how much is neither; once from all calls, and once from those during which the host took no CPU time. With
`--settings` this is repeated for processes that are started differently.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from densebench.machine.cpus import placement
from densebench.machine.facts import KEEP_FREED_MEMORY
from densebench.processes.environment import plain_environment

SETTINGS: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "plain": ((), {}),
    "fixed addresses": (("setarch", "-R"), {}),
    "freed memory kept": ((), KEEP_FREED_MEMORY),
    "huge pages": ((), {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
    "bound threads": ((), {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}),
}
CHILD = """
import os, statistics, sys, time
import torch
import densebench
from densebench.machine.counters import cpu_s
cpus = frozenset(os.sched_getaffinity(0))
torch.set_num_threads(int(sys.argv[4]))
call = densebench.load(sys.argv[1])
images = torch.randn(int(sys.argv[2]), 3, int(sys.argv[3]), int(sys.argv[3]))
print("ready", flush=True)
for line in sys.stdin:
    call(images)
    every, end = [], time.perf_counter() + float(line)
    while len(every) < 2 or time.perf_counter() < end:
        before, began = cpu_s(cpus)[1], time.perf_counter()
        call(images)
        every.append((time.perf_counter() - began, cpu_s(cpus)[1] - before))
    kinds = [s for s, _ in every], [s for s, stolen in every if not stolen], [s for s, stolen in every if stolen]
    print(*(1000 * statistics.fmean(kind) if kind else 0 for kind in kinds), len(kinds[2]), len(every), flush=True)
"""
KINDS = ("all calls", "without steal time")
Logs = list[list[float]]  # of the slices' means: [process][pass]
Cell = tuple[str, str]  # a recipe and a setting
WARM_UP_S = 1.0


class Process:
    """One artifact, loaded; it waits until it is asked for a slice."""

    def __init__(self, setting: str, arguments: Sequence[object], threads: int) -> None:
        wrapper, variables = SETTINGS[setting]
        self._child = subprocess.Popen(
            [*wrapper, sys.executable, "-c", CHILD, *map(str, arguments), str(threads)],
            env={**plain_environment(threads), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def slice_ms(self, seconds: float) -> list[float]:
        """Mean latencies of all calls, of those without and with stolen time (0: there is none); counts."""
        assert self._child.stdin
        self._child.stdin.write(f"{seconds}\n")
        self._child.stdin.flush()
        return [float(word) for word in self._answer().split()]

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.wait()

    def _answer(self) -> str:
        assert self._child.stdout
        return self._child.stdout.readline()


def components(logs: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Sums of squares over degrees of freedom: of processes, of passes, of what is left. `logs[process][pass]`."""
    grand = statistics.fmean(x for line in logs for x in line)
    rows = [statistics.fmean(line) - grand for line in logs]
    columns = [statistics.fmean(column) - grand for column in zip(*logs, strict=True)]
    left = [x - grand - rows[i] - columns[j] for i, line in enumerate(logs) for j, x in enumerate(line)]
    processes, passes = len(rows), len(columns)
    return (
        passes * sum(x * x for x in rows) / (processes - 1),
        processes * sum(x * x for x in columns) / (passes - 1),
        sum(x * x for x in left) / ((processes - 1) * (passes - 1)),
    )


def percent(variance: float) -> str:
    """A standard deviation; where the estimate of a variance is below zero, zero."""
    return f"{100 * math.sqrt(max(0.0, variance)):.1f}"


def main() -> None:
    """Time every setting, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of a sweep")
    parser.add_argument("--recipes", default="baseline,openvino")
    parser.add_argument("--settings", default="plain", help=", ".join(SETTINGS))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--generations", type=int, default=3, help="sets of processes, one after the other")
    parser.add_argument("--processes", type=int, default=4, help="of each recipe and setting at a time")
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--slice-s", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=placement().threads)
    given = parser.parse_args()
    cells = [(recipe, name) for recipe in given.recipes.split(",") for name in given.settings.split(",")]
    table = Table(
        title=f"batch {given.batch_size}, {given.image_size} px, {given.threads} threads, "
        f"{given.generations} x {given.processes} processes, {given.passes} slices of {given.slice_s} s each",
        title_justify="left",
    )
    for column in ("recipe", "setting", "from", "ms", "process", "moment", "neither", "one slice, in %"):
        table.add_column(column, justify="left" if column in ("recipe", "setting", "from") else "right")
    found = [generation(given, cells, number) for number in range(given.generations)]
    for cell in cells:
        for kind, words in enumerate(KINDS):
            parts = [
                complete([[one_slice[kind] for one_slice in line] for line in one[cell]]) for one in found
            ]
            table.add_row(*cell, words, *figures([logs for logs in parts if len(logs[0]) > 1]))
    Console().print(table)
    for cell in cells:
        print(*cell, stolen([each for one in found for line in one[cell] for each in line]), sep=", ")


def generation(
    given: argparse.Namespace, cells: Sequence[Cell], number: int
) -> dict[Cell, list[list[list[float]]]]:
    """One set of processes that live together: slices[cell][process][pass]."""
    with ExitStack() as stack:
        living: list[tuple[Cell, int, Process]] = []
        for recipe, name in cells:
            arguments = (given.results / "models" / recipe, given.batch_size, given.image_size)
            for place in range(given.processes):
                process = Process(name, arguments, given.threads)
                stack.callback(process.close)
                process.slice_ms(WARM_UP_S)
                living.append(((recipe, name), place, process))
        slices: dict[Cell, list[list[list[float]]]] = {
            cell: [[] for _ in range(given.processes)] for cell in cells
        }
        for number_of_pass in range(given.passes):
            for cell, place, process in random.Random(f"{number} {number_of_pass}").sample(
                living, len(living)
            ):
                slices[cell][place].append(process.slice_ms(given.slice_s))
    return slices


def stolen(slices: Sequence[Sequence[float]]) -> str:
    """How long calls took during which the host took CPU time, and the others."""
    taken, calls = (sum(one[place] for one in slices) for place in (3, 4))
    if not 0 < taken < calls:
        return f"{taken:.0f} of {calls:.0f} calls with steal time"
    slow = sum(one[2] * one[3] for one in slices) / taken
    quick = sum(one[1] * (one[4] - one[3]) for one in slices) / (calls - taken)
    return f"{taken:.0f} of {calls:.0f} calls with steal time: {slow:.1f} ms on average, the others {quick:.1f} ms"


def complete(means: Logs) -> Logs:
    """Logarithms, of the passes in which every process has a slice."""
    passes = [one_pass for one_pass in zip(*means, strict=True) if all(one_pass)]
    return [[math.log(one_pass[place]) for one_pass in passes] for place in range(len(means))]


def figures(generations: Sequence[Logs]) -> tuple[str, ...]:
    """One line of the table."""
    if not generations:
        return ("-",) * 5
    passes = statistics.fmean(len(logs[0]) for logs in generations)
    of_process, of_pass, left = (
        statistics.fmean(part) for part in zip(*map(components, generations), strict=True)
    )
    process, moment = (of_process - left) / passes, (of_pass - left) / len(generations[0])
    middle = statistics.median(x for logs in generations for line in logs for x in line)
    return (f"{math.exp(middle):.1f}", *map(percent, (process, moment, left, process + moment + left)))


if __name__ == "__main__":
    main()
