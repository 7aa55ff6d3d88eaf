"""Whether the suite's intervals and verdicts mean what they say, on this machine, beside the peers' plain figures.

    python benchmarks/precision.py            # up to 100 minutes; goes on where it was stopped
    python benchmarks/precision.py --fast     # the same with fewer repetitions, up to 15 minutes
    python benchmarks/precision.py --only forecast    # how long all of it takes here, and nothing else

On a machine that needs longer fewer comparisons are made, and the last line says how many of how many; `--minutes`
gives it more. Stacks of convolutions in three engines: an artifact against itself (A/A), artifacts with 3, 5 and 10 %
more work, how often the interval holds the grand mean, verdicts while another program takes a core, agreement with a
bare loop and with `benchmark_app` on the same file, what the harness costs. DenseNet-121 in plain PyTorch: against
itself, and ONNX Runtime and OpenVINO over it. Beside them, what torch's Timer and `benchmark_app` say of the same
stacks when each is run once, the plain way. Leave the machine alone meanwhile. Exits 1 where a limit was missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lab import LAYERS, PIXELS, Lab, densenet_workload, lab, stack_workload
from notebook import Notebook, kind_of
from peers import SECONDS, bare_loop, benchmark_app, timer
from precision_table import EFFECTS, ENGINES, KINDS, STACK_SIZE, show
from rich.console import Console

from densebench.machine.cpus import placement
from densebench.planners import forecast
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.spec import BASELINE_PROCESSES, FOCUS_ROUNDS, LEAST_ROUNDS

STACKS = {"baseline": LAYERS, "twin": LAYERS, **{f"more{percent}": LAYERS + percent for percent in EFFECTS}}
DENSENET = {"baseline": "eager", "twin": "eager", "onnx": "onnx", "openvino": "openvino"}
ROUND_S, PROCESS_S, PEER_S = 2.5, 0.4, 3.0  # beyond the calls: of a round, of a process, of a peer's program
BURSTS = """
import random, sys, time
while True:
    until = time.perf_counter() + random.uniform(0.1, 1.0)
    while time.perf_counter() < until:
        pass
    time.sleep(random.uniform(0.1, 1.0))
"""


@dataclass(frozen=True)
class Plan:
    """How often each part is repeated, in how many rounds, and the minutes after which no comparison begins."""

    name: str
    same: dict[str, int]  # by kind
    engines: int  # over DenseNet-121, at each batch size
    more: dict[int, int]
    disturbed: int
    plain: int
    alternations: int
    rounds: int
    minutes: float

    @property
    def verdicts(self) -> list[str]:
        """The keys of all comparisons, in their order: a run that is cut short has some of each kind."""
        keys = []
        for number in range(max(self.disturbed, *self.same.values(), *self.more.values())):
            keys += [f"{kind} {number}" for kind in KINDS if self.names(kind, number)]
            keys += [f"disturbed {number}"] * (number < self.disturbed)
        return keys

    def names(self, kind: str, number: int) -> list[str]:
        """What is compared with the baseline in the rounds of this number.

        Recipes that share rounds share the baseline's processes: no two of them are counted in the same figure.
        """
        if kind == "disturbed":
            return ["twin", "more10"]
        again = number < self.same[kind]
        if kind not in ENGINES:
            return ["twin"] * again + ["onnx", "openvino"] * (number < self.engines)
        more = [f"more{percent}" for percent, times in self.more.items() if number < times]
        return ["twin"] * again + more * (kind == ENGINES[-1])


FULL = Plan(
    "full",
    same={"jit": 11, "onnx": 10, "openvino": 30, "densenet1": 6, "densenet8": 3},
    engines=3,
    more={3: 3, 5: 30, 10: 5},
    disturbed=2,
    plain=2,
    alternations=6,
    rounds=FOCUS_ROUNDS,
    minutes=100,
)
FAST = Plan(
    "fast",
    same={"jit": 2, "onnx": 2, "openvino": 2, "densenet1": 1, "densenet8": 1},
    engines=1,
    more={3: 1, 5: 2, 10: 1},
    disturbed=1,
    plain=1,
    alternations=4,
    rounds=FOCUS_ROUNDS,
    minutes=15,
)


def facts(row: Row) -> dict[str, Any]:
    """What a comparison came to."""
    if row.status is not Status.OK or row.speedup is None:
        raise SystemExit(f"{row.recipe} could not be compared: {row.status} {row.reason}")
    return {
        "speedup": round(row.speedup, 4),
        "low": row.speedup_ci_low and round(row.speedup_ci_low, 4),
        "high": row.speedup_ci_high and round(row.speedup_ci_high, 4),
        "verdict": row.verdict,
        "processes": row.processes,
        "paired": row.paired,
        "throughput": row.throughput_samples_per_s,
        "interference": row.interference or ("calls left out" if row.left_out > 0.1 else ""),
    }


@contextmanager
def benches(folder: Path, plan: Plan, threads: int) -> Iterator[dict[str, Lab]]:
    """A laboratory for each engine (the stack, its twin, stacks with more layers), and one for DenseNet-121."""
    rounds = {"rounds": min(LEAST_ROUNDS, plan.rounds), "focus_rounds": plan.rounds}
    with ExitStack() as stack:
        opened = {}
        for engine in ENGINES:
            named = dict.fromkeys(STACKS, engine)
            bench = lab(
                folder / engine, named, threads, stack_workload(), batch_sizes=(STACK_SIZE,), **rounds
            )
            opened[engine] = stack.enter_context(bench)
            for name, layers in STACKS.items():
                opened[engine].build(name, stack_workload(layers))
        densenet, sizes = densenet_workload(), {size for kind, size in KINDS.items() if kind not in ENGINES}
        bench = lab(folder / "densenet", DENSENET, threads, densenet, batch_sizes=sorted(sizes), **rounds)
        opened["densenet"] = stack.enter_context(bench)
        for name in DENSENET:
            opened["densenet"].build(name, densenet)
        yield opened


def bench_of(opened: Mapping[str, Lab], key: str) -> tuple[Lab, int]:
    """Where a comparison is made, and at what batch size."""
    kind = kind_of(key)
    if kind == "disturbed":
        return opened[ENGINES[-1]], STACK_SIZE
    return opened[kind if kind in ENGINES else "densenet"], KINDS[kind]


def verdicts(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """A/A of every kind; known slow-downs and interference with the last engine; other engines over DenseNet-121."""
    with benches(folder, plan, threads) as opened:
        for key in plan.verdicts:
            if key not in notes.found and notes.seconds + notes.longest_s(key) > 60 * plan.minutes:
                break
            notes.take(key, partial(compared, opened, plan, key))


def compared(opened: Mapping[str, Lab], plan: Plan, key: str) -> dict[str, Any]:
    """One of the comparisons. While another program disturbs it, each process is repeated once at most."""
    bench, size = bench_of(opened, key)
    kind, number = kind_of(key), int(key.rpartition(" ")[-1])
    if kind == "disturbed":
        with bursts():
            rows = bench.compare(*plan.names(kind, number), size=size, seed=200 + number, repeats=1)
    else:
        rows = bench.compare(*plan.names(kind, number), size=size, seed=number)
    return {row.recipe: facts(row) for row in rows}


@contextmanager
def bursts() -> Iterator[None]:
    """A second program that takes a core now and then."""
    disturbing = subprocess.Popen([sys.executable, "-c", BURSTS])
    try:
        yield
    finally:
        disturbing.kill()
        disturbing.wait()


def plain(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """The peers' way: each stack once, one after the other, in the peer's own process."""
    files = {name: folder / ENGINES[-1] / "models" / name / "model.xml" for name in STACKS}

    def app() -> dict[str, float]:
        return {
            name: benchmark_app(file, STACK_SIZE, PIXELS, threads, "fp32") for name, file in files.items()
        }

    def of_torch() -> dict[str, float]:
        return {name: timer(layers, threads) for name, layers in STACKS.items()}

    for number in range(plan.plain):
        notes.take(f"app {number}", app)
        notes.take(f"timer {number}", of_torch)


def agreement(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """The same file here, in a bare loop and in benchmark_app, alternating: what the harness costs."""
    engine = ENGINES[-1]
    with lab(
        folder / engine, {"baseline": engine}, threads, stack_workload(), batch_sizes=(STACK_SIZE,)
    ) as bench:
        given = (folder / engine / "models/baseline/model.xml", STACK_SIZE, PIXELS, threads, "fp32")
        ways: dict[str, Callable[[], float]] = {
            "here": lambda: bench.throughput("baseline", STACK_SIZE, SECONDS),
            "a bare loop": lambda: bare_loop(*given),
            "benchmark_app": lambda: benchmark_app(*given),
        }
        for number in range(plan.alternations):
            names = [*ways][number % 3 :] + [*ways][: number % 3]  # none is always the first
            notes.take(f"agreement {number}", partial(_one_by_one, ways, names))


def _one_by_one(ways: Mapping[str, Callable[[], float]], names: Sequence[str]) -> dict[str, float]:
    return {name: ways[name]() for name in names}


def forecast_s(opened: Mapping[str, Lab], plan: Plan) -> dict[str, float]:
    """The seconds that each part takes on this machine, if nothing disturbs it, by kind."""
    found = {"peers": (SECONDS + PEER_S) * (2 * len(STACKS) * plan.plain + 3 * plan.alternations)}
    for key in plan.verdicts:
        kind, (bench, size) = kind_of(key), bench_of(opened, key)
        spec = bench.site.spec.model_copy(update={"focus_batch_sizes": (size,)})
        process_s = forecast.process_s(spec, bench.site.workload, (size,)) - forecast.CHILD_S + PROCESS_S
        processes = len(plan.names(kind, int(key.rpartition(" ")[-1]))) + BASELINE_PROCESSES
        repeated = 2 if kind == "disturbed" else 1
        spent_s = plan.rounds * (ROUND_S + repeated * processes * process_s)
        found[kind] = found.get(kind, 0.0) + spent_s
    return found


def print_forecast(opened: Mapping[str, Lab], plan: Plan, console: Console) -> None:
    """A line of minutes, of all of it and of its parts."""
    found = {kind: seconds / 60 for kind, seconds in forecast_s(opened, plan).items()}
    parts = ", ".join(f"{kind} {minutes:.0f}" for kind, minutes in found.items())
    console.print(
        f"about {sum(found.values()):.0f} minutes here, at most {plan.minutes:g} ({parts})",
        highlight=False,
        soft_wrap=True,
    )


def main() -> int:
    """Measure what is missing, then print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--threads", type=int, default=placement().threads)
    parser.add_argument("--folder", type=Path, default=Path("results-precision"))
    parts = {part.__name__: part for part in (plain, agreement, verdicts)}
    parser.add_argument("--only", choices=[*parts, "forecast", "nothing"], help="one part, or what is there")
    parser.add_argument("--minutes", type=float, help="after which no comparison begins")
    parser.add_argument("--rounds", type=int, help=f"of each comparison, in place of {FOCUS_ROUNDS}")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    plan = FAST if given.fast else FULL
    plan = replace(plan, minutes=given.minutes or plan.minutes, rounds=given.rounds or plan.rounds)
    notes = Notebook(given.folder / f"{plan.name}-{given.threads}.jsonl", console)
    if given.only != "nothing":
        with benches(given.folder, plan, given.threads) as opened:  # builds what all parts measure
            print_forecast(opened, plan, console)
    if given.only == "forecast":
        return 0
    for name, part in parts.items():
        if given.only in (None, name):
            part(given.folder, plan, given.threads, notes)
    return show(notes, plan.verdicts, console, given.threads)


if __name__ == "__main__":
    sys.exit(main())
