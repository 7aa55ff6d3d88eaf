"""Whether the suite's intervals and verdicts mean what they say, on this machine, beside the peers' plain figures.

    python benchmarks/precision.py            # up to 100 minutes; goes on where it was stopped
    python benchmarks/precision.py --fast     # the same with fewer repetitions, up to 15 minutes

On a machine that needs longer fewer comparisons are made, and the last line says how many of how many; `--minutes`
gives it more. Parts: a recipe against itself (A/A), artifacts with 3, 5 and 10 % more work, how often the interval
holds the grand mean, all of it under disturbance, how well speed-ups repeat, agreement with a bare loop and with
`benchmark_app` on the same file, what the harness costs. Beside them, what torch's Timer and `benchmark_app` say of
the same artifacts when each is run once, the plain way. Leave the machine alone meanwhile; the part on disturbance
makes its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lab import LAYERS, PIXELS, Lab, lab
from peers import SECONDS, bare_loop, benchmark_app, timer
from rich.console import Console
from rich.table import Table

import densebench
from densebench.machine import allowed_threads
from densebench.measure import latency
from densebench.measure.cores import Speed, open_cores
from densebench.measure.counters import stolen_clock
from densebench.measure.device import Cpu
from densebench.record import Row, Status
from densebench.stats.comparison import CLEAR, geometric_mean

ENGINES = ("jit", "onnx", "openvino")
EFFECTS = (3, 5, 10)  # percent of work more
STACKS = {"baseline": LAYERS, "twin": LAYERS, **{f"more{percent}": LAYERS + percent for percent in EFFECTS}}
SIZE = 1
BLOCKS, BLOCK_S = (
    5,
    0.6,
)  # for what lies between calls: one that waits until the CPUs are at full speed tells nothing
SOURCES = sorted(Path(densebench.__file__).parent.rglob("*.py"))
CODE = hashlib.sha256(b"".join(file.read_bytes() for file in SOURCES)).hexdigest()[:8]
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
    """How often each part is repeated, if that fits; the seconds that further rounds of one verdict may take."""

    name: str
    same: dict[str, int]  # by engine
    more: dict[int, int]
    disturbed: int
    plain: int
    repeats: int
    alternations: int
    further_s: float
    repeated_s: float  # the same of speed-ups that are to repeat: of other engines, which scatter more
    minutes: float  # after which no comparison begins: a little less than all may take

    @property
    def verdicts(self) -> list[str]:
        """The keys of these comparisons, in their order."""
        keys = []
        for number in range(max(self.disturbed, *self.same.values(), *self.more.values())):
            keys += [f"{engine} {number}" for engine in ENGINES if self.names(engine, number)]
            keys += [f"disturbed {number}"] * (number < self.disturbed)
        return keys

    def names(self, engine: str, number: int) -> list[str]:
        """What is compared with the baseline in the rounds of this number."""
        more = [f"more{percent}" for percent, times in self.more.items() if number < times]
        return ["twin"] * (number < self.same[engine]) + more * (engine == ENGINES[-1])


FULL = Plan(
    "full",
    same={"jit": 15, "onnx": 15, "openvino": 30},  # the last in the rounds of its slow-downs
    more={3: 3, 5: 30, 10: 5},
    disturbed=2,
    plain=4,
    repeats=6,
    alternations=10,
    further_s=8.0,
    repeated_s=60.0,
    minutes=98,
)
FAST = Plan(
    "fast",
    same={"jit": 2, "onnx": 2, "openvino": 2},
    more={3: 1, 5: 2, 10: 1},
    disturbed=1,
    plain=2,
    repeats=2,
    alternations=4,
    further_s=5.0,
    repeated_s=5.0,
    minutes=14,
)


class Notebook:
    """Results that are there already are not measured again: a line of JSON each.

    Key, result, seconds, and which state of the code it is of: a run that goes on may mix several.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self._path = path
        self._console = console
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]  # one may have been cut short
        path.write_text("".join(json.dumps(line) + "\n" for line in whole), encoding="utf-8")
        self.found: dict[str, Any] = {key: result for key, result, *_ in whole}
        self.seconds = sum(seconds for _, _, seconds, *_ in whole)
        self.longest_s = max((seconds for _, _, seconds, *_ in whole), default=0.0)
        self.codes = {code for _, _, _, *codes in whole for code in codes or ["?"]}

    def take(self, key: str, measure: Callable[[], Any]) -> Any:
        """The result of this key, measured now if it isn't there."""
        if key not in self.found:
            started = time.monotonic()
            self.found[key] = measure()
            spent_s = round(time.monotonic() - started, 1)
            self.seconds += spent_s
            self.longest_s = max(self.longest_s, spent_s)
            self.codes.add(CODE)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, self.found[key], spent_s, CODE]) + "\n")
            self._console.print(f"{key}: {self.found[key]}  {spent_s:.0f} s", highlight=False, soft_wrap=True)
        return self.found[key]

    def of(self, kind: str, recipe: str = "") -> list[Any]:
        """The results of a part, in their order; of one recipe, where each has several."""
        found = [value for key, value in self.found.items() if key.rpartition(" ")[0] == kind]
        return [value[recipe] for value in found if recipe in value] if recipe else found


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
        "throughput": row.throughput_samples_per_s,
        "told": row.disturbance or ("calls left out" if row.left_out > 0.1 else ""),
    }


def compare(bench: Lab, names: Sequence[str], seed: int) -> Callable[[], dict[str, Any]]:
    """Comparisons in common rounds, to be made when they are asked for."""
    return lambda: {row.recipe: facts(row) for row in bench.compare(*names, seed=seed)}


@contextmanager
def benches(folder: Path, plan: Plan, threads: int) -> Iterator[dict[str, Lab]]:
    """A laboratory for each engine: the stack, its twin, and stacks with more layers."""
    with ExitStack() as stack:
        opened = {}
        for engine in ENGINES:
            named = dict.fromkeys(STACKS, engine)
            focus = {"batch_sizes": (SIZE,), "focus_batch_sizes": (SIZE,), "focus_time": plan.further_s}
            opened[engine] = stack.enter_context(lab(folder / engine, named, threads, **focus))
            for name, layers in STACKS.items():
                opened[engine].build(name, layers)
        yield opened


def verdicts(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """A/A with every engine; known slow-downs and disturbance with the last of them.

    The parts grow together, so that a run that is cut short has some of each. Recipes that share rounds share the
    baseline's processes, and no two of them are counted in the same figure.
    """
    with benches(folder, plan, threads) as opened:
        for key in plan.verdicts:
            if key not in notes.found and notes.seconds + notes.longest_s > 60 * plan.minutes:
                break
            notes.take(key, partial(compared, opened, plan, key))


def compared(opened: dict[str, Lab], plan: Plan, key: str) -> dict[str, Any]:
    """One of the verdicts' comparisons."""
    kind, number = key.split()
    if kind == "disturbed":
        with bursts():
            return compare(opened[ENGINES[-1]], ("twin", "more10"), 200 + int(number))()
    return compare(opened[kind], plan.names(kind, int(number)), int(number))()


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
    """The peers' way: each artifact once, one after the other, in the peer's own process."""
    files = {name: folder / ENGINES[-1] / "models" / name / "model.xml" for name in STACKS}

    def app() -> dict[str, float]:
        return {name: benchmark_app(file, SIZE, PIXELS, threads, "fp32") for name, file in files.items()}

    def of_torch() -> dict[str, float]:
        return {name: timer(layers, threads) for name, layers in STACKS.items()}

    for number in range(plan.plain):
        notes.take(f"app {number}", app)
        notes.take(f"timer {number}", of_torch)


def repeatability(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """Speed-ups over TorchScript of two other engines and of a heavier stack, run by run.

    Each run has its own zygote, as runs of a user's have: what children of one inherit is the same for all.
    """
    named = {"baseline": "jit", "onnx": "onnx", "openvino": "openvino", "heavier": "jit"}
    focus = {"batch_sizes": (SIZE,), "focus_batch_sizes": (SIZE,), "focus_time": plan.repeated_s}

    def run(seed: int) -> dict[str, Any]:
        with lab(folder / "engines", named, threads, **focus) as bench:
            for name in named:
                bench.build(name, LAYERS + 10 * (name == "heavier"))
            return compare(bench, ("onnx", "openvino", "heavier"), seed)()

    for number in range(plan.repeats):
        notes.take(f"repeat {number}", partial(run, 400 + number))


def agreement(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """The same file here, in a bare loop and in benchmark_app, in turn: what the harness costs, and what it sees."""
    with lab(
        folder / "engines", {"baseline": "jit", "openvino": "openvino"}, threads, batch_sizes=(SIZE,)
    ) as bench:
        bench.build("openvino", LAYERS)
        given = (folder / "engines/models/openvino/model.xml", SIZE, PIXELS, threads, "fp32")
        ways: dict[str, Callable[[], float]] = {
            "here": lambda: bench.throughput("openvino", SIZE, SECONDS),
            "a bare loop": lambda: bare_loop(*given),
            "benchmark_app": lambda: benchmark_app(*given),
        }
        for number in range(plan.alternations):
            names = [*ways][number % 3 :] + [*ways][: number % 3]  # none is always the first
            notes.take(f"agreement {number}", partial(_in_turn, ways, names))


def _in_turn(ways: dict[str, Callable[[], float]], names: Sequence[str]) -> dict[str, float]:
    return {name: ways[name]() for name in names}


def overhead_us(threads: int) -> tuple[float, dict[int, float]]:
    """What timing adds to a call, and what lies between two, by how many ms they take; microseconds a call."""
    device = Cpu()
    inside = statistics.median(device.time_ms(lambda: None) for _ in range(10_000))
    return 1000 * inside, {
        call_ms: statistics.median(_between_us(call_ms, threads) for _ in range(BLOCKS))
        for call_ms in (2, 20, 100)
    }


def _between_us(call_ms: int, threads: int) -> float:
    """All that a block of such calls takes beside them, looks at the CPUs among it, where there are any."""
    device, budget = Cpu(), latency.Budget(BLOCK_S, 100.0)
    cores = open_cores("cpu", threads)
    stolen_s, speed = stolen_clock(frozenset(os.sched_getaffinity(0))), cores.speed if cores else Speed
    computed: list[float] = []

    def spin() -> None:
        began = time.perf_counter()
        while time.perf_counter() < began + call_ms / 1000:
            pass
        computed.append(time.perf_counter() - began)

    count = latency.calls_of(budget, call_ms)
    started = time.perf_counter()
    latency.sample(spin, device, budget, count, stolen_s, threads, speed, call_ms)
    return 1e6 * (time.perf_counter() - started - sum(computed)) / len(computed)


def spread(values: Sequence[float]) -> str:
    """The coefficient of variation."""
    return f"{100 * statistics.stdev(values) / statistics.mean(values):.1f} %" if len(values) > 1 else "-"


def held(runs: Sequence[dict[str, Any]]) -> int:
    """How many intervals hold the grand mean."""
    grand = math.exp(statistics.mean(math.log(one["speedup"]) for one in runs))
    return sum(one["low"] <= grand <= one["high"] for one in runs)


def half_widths(runs: Sequence[dict[str, Any]]) -> str:
    """The middle one of the intervals' half-widths."""
    return f"±{100 * statistics.median(math.sqrt(one['high'] / one['low']) - 1 for one in runs):.1f} %"


def ratio(values: Sequence[float]) -> str:
    """The geometric mean with its 95 % interval, Student's."""
    found = geometric_mean([math.log(value) for value in values], 0.95)
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})" if found.low else f"{found.value:.4f}"


def peers(notes: Notebook, name: str) -> str:
    """How often each peer's plain figures differ by more than 3 %, and from what to what they go."""
    told = []
    for peer in ("app", "timer"):
        runs = notes.of(peer)
        ratios = [one[name] / one["baseline"] for one in runs]
        if ratios:
            seen = sum(abs(one - 1) > CLEAR for one in ratios)
            called = {"app": "benchmark_app", "timer": "Timer"}[peer]
            told.append(
                f"{called}: beyond 3 % in {seen} of {len(ratios)} ({min(ratios):.3f} to {max(ratios):.3f})"
            )
    return "\n".join(told) or "-"


Line = tuple[str, str, str, str]  # what, found, what the peers say, what is wanted


def show(notes: Notebook, plan: Plan, console: Console, threads: int) -> None:
    """The figures, each beside the peers' and what it should be."""
    title = f"precision, code {', '.join(sorted(notes.codes))}"
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("what", "found", "peers", "wanted"):
        table.add_column(column)
    for lines in (of_twins, of_more, of_disturbed, of_repeats, of_agreement):
        for line in lines(notes):
            table.add_row(*line)
    inside_us, between_us = overhead_us(threads)
    table.add_row("harness, in a timed call", f"{inside_us:.2f} us", "-", "under 20 us")
    for call_ms, microseconds in between_us.items():
        share = microseconds / 10 / call_ms
        table.add_row(
            f"between two calls of {call_ms} ms", f"{microseconds:.0f} us ({share:.2f} %)", "-", "-"
        )
    made = f"{sum(key in notes.found for key in plan.verdicts)} of {len(plan.verdicts)} comparisons"
    table.add_row("all of it took", f"{notes.seconds / 60:.0f} min; {made}", "-", "under 100 min; all")
    console.print(table)


def of_twins(notes: Notebook) -> Iterator[Line]:
    """A recipe against itself."""
    twins = {engine: notes.of(engine, "twin") for engine in ENGINES}
    same = [run for runs in twins.values() for run in runs]
    if same:
        wrong = sum(one["verdict"] in ("faster", "slower") for one in same)
        alike = sum(one["verdict"] == "same" for one in same)
        found = f"{wrong} of {len(same)}; {alike} `same`; {half_widths(same)}"
        yield "a recipe against itself: faster or slower", found, peers(notes, "twin"), "at most 1 in 10"
    for engine, runs in twins.items():
        if runs:
            yield (
                f"{engine} against itself, mean ratio",
                ratio([one["speedup"] for one in runs]),
                "-",
                "holds 1",
            )


def of_more(notes: Notebook) -> Iterator[Line]:
    """Known slow-downs, and how often the interval of one of them holds the mean of all."""
    for percent, wanted in zip(EFFECTS, ("-", "at least 90 %", "all"), strict=True):
        if runs := notes.of(ENGINES[-1], f"more{percent}"):
            found = f"{sum(one['verdict'] == 'slower' for one in runs)} of {len(runs)}; {half_widths(runs)}"
            yield f"{percent} % more work: slower", found, peers(notes, f"more{percent}"), wanted
    if runs := notes.of(ENGINES[-1], "more5"):
        found = f"{held(runs)} of {len(runs)}"
        yield "95 % intervals that hold the grand mean", found, "no intervals", "at least 90 %"


def of_disturbed(notes: Notebook) -> Iterator[Line]:
    """Verdicts while another program takes a core now and then."""
    for name, good in (("twin", ("same", "unclear")), ("more10", ("slower", "unclear"))):
        if runs := notes.of("disturbed", name):
            right = sum(one["verdict"] in good for one in runs)
            marked = sum(bool(one["told"]) for one in runs)
            unclear = sum(one["verdict"] == "unclear" for one in runs)
            found = f"{right} of {len(runs)} ({unclear} `unclear`); {half_widths(runs)}"
            yield f"disturbed, {name}: no wrong verdict", found, "-", "all"
            yield f"disturbed, {name}: marked or repeated", f"{marked} of {len(runs)}", "-", "all"


def of_repeats(notes: Notebook) -> Iterator[Line]:
    """Coefficients of variation from run to run."""
    for recipe in ("onnx", "openvino", "heavier"):
        if runs := notes.of("repeat", recipe):
            told = "-"
            if recipe == "heavier":
                told = f"Timer: {spread([one['more10'] / one['baseline'] for one in notes.of('timer')])}"
            if recipe == "openvino":
                both = zip(notes.of("app"), notes.of("timer"), strict=False)
                ratios = [app["baseline"] / timer["baseline"] for app, timer in both]
                told = f"benchmark_app over Timer: {spread(ratios)}"
            found = f"{spread([one['speedup'] for one in runs])}; {half_widths(runs)}"
            yield f"speed-up of {recipe}, run to run", found, told, "at most 2 %"
    if runs := notes.of("repeat", "openvino"):
        told = f"benchmark_app: {spread([one['baseline'] for one in notes.of('app')])}"
        yield "throughput of openvino, run to run", spread([one["throughput"] for one in runs]), told, "-"


def of_agreement(notes: Notebook) -> Iterator[Line]:
    """The same file here and by others, in turn."""
    alternated = notes.of("agreement")
    for peer in ("a bare loop", "benchmark_app") if len(alternated) > 1 else ():
        yield (
            f"openvino here over {peer}",
            ratio([one["here"] / one[peer] for one in alternated]),
            "-",
            "within 2 %",
        )


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--threads", type=int, default=allowed_threads())
    parser.add_argument("--folder", type=Path, default=Path("results-precision"))
    parts = {part.__name__: part for part in (plain, repeatability, agreement, verdicts)}
    parser.add_argument("--only", choices=[*parts, "nothing"], help="one part, or just what is there")
    parser.add_argument("--minutes", type=float, help="after which no comparison begins")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    plan = FAST if given.fast else FULL
    plan = replace(plan, minutes=given.minutes or plan.minutes)
    notes = Notebook(given.folder / f"{plan.name}-{given.threads}.jsonl", console)
    if given.only != "nothing":
        with benches(given.folder, plan, given.threads):  # builds what all parts measure
            pass
    for name, part in parts.items():
        if given.only in (None, name):
            part(given.folder, plan, given.threads, notes)
    show(notes, plan, console, given.threads)


if __name__ == "__main__":
    main()
