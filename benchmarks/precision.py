"""Whether the suite's intervals and verdicts mean what they say, on this machine, beside the peers' plain figures.

    python benchmarks/precision.py            # two to three hours on two slow cores; goes on where it was stopped
    python benchmarks/precision.py --fast     # the same with fewer repetitions, half an hour there

Parts: a recipe against itself (A/A), artifacts with 3, 5 and 10 % more work, how often the interval holds the grand
mean, how well speed-ups repeat (beside torch's Timer and OpenVINO's benchmark_app), all of it under disturbance, and
what the harness costs. Leave the machine alone meanwhile; the part on disturbance makes its own.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab import LAYERS, PIXELS, Lab, lab
from peers import SECONDS, bare_loop, benchmark_app
from rich.console import Console
from rich.table import Table

from densebench.machine import allowed_threads
from densebench.measure.device import Cpu
from densebench.record import Row

ENGINES = ("jit", "onnx", "openvino")
EFFECTS = (3, 5, 10)  # percent of work more
SIZE = 1
TIMER = """
import sys, torch
from torch.utils.benchmark import Timer
sys.path.insert(0, sys.argv[1])
from lab import PIXELS, stack
torch.set_num_threads(int(sys.argv[2]))
images = torch.randn(1, 3, PIXELS, PIXELS)
def time_of(model, images):
    with torch.inference_mode():
        timer = Timer("model(images)", globals={"model": model, "images": images}, num_threads=int(sys.argv[2]))
        return timer.blocked_autorange(min_run_time=1).median
script = torch.jit.freeze(torch.jit.script(stack(int(sys.argv[3]))))
print(time_of(stack(int(sys.argv[3])), images) / time_of(script, images))
"""
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
    """How often each part is repeated, and the seconds that further rounds of one comparison may take."""

    same: int
    more: dict[int, int]
    repeats: int
    alternations: int
    disturbed: int
    further_s: float


FULL = Plan(same=20, more={3: 10, 5: 30, 10: 10}, repeats=6, alternations=20, disturbed=5, further_s=45.0)
FAST = Plan(same=4, more={3: 2, 5: 6, 10: 2}, repeats=3, alternations=4, disturbed=2, further_s=20.0)


class Notebook:
    """Results that are there already are not measured again: one JSON line each."""

    def __init__(self, path: Path, console: Console) -> None:
        self._path = path
        self._console = console
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.found: dict[str, Any] = dict(json.loads(line) for line in lines)

    def take(self, key: str, measure: Callable[[], Any]) -> Any:
        """The result of this key, measured now if it isn't there."""
        if key not in self.found:
            started = time.monotonic()
            self.found[key] = measure()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, self.found[key]]) + "\n")
            self._console.print(
                f"{key}: {self.found[key]}  {time.monotonic() - started:.0f} s", highlight=False
            )
        return self.found[key]


def facts(row: Row) -> dict[str, Any]:
    """What a comparison came to."""
    return {
        "speedup": round(row.speedup or 0.0, 4),
        "low": row.speedup_ci_low and round(row.speedup_ci_low, 4),
        "high": row.speedup_ci_high and round(row.speedup_ci_high, 4),
        "verdict": row.verdict,
        "processes": row.processes,
        "stable": row.stable,
    }


def prepared(folder: Path, engine: str, plan: Plan, threads: int) -> Any:
    """A laboratory with one engine: the stack, its twin, and stacks with more layers."""
    names = ["baseline", "twin", *(f"more{percent}" for percent in EFFECTS)]
    return lab(
        folder / engine,
        dict.fromkeys(names, engine),
        threads,
        batch_sizes=(SIZE,),
        focus_batch_sizes=(SIZE,),
        focus_time=plan.further_s,
    )


def fill(bench: Lab) -> Lab:
    """The laboratory with all its artifacts built."""
    for name, layers in (
        ("baseline", LAYERS),
        ("twin", LAYERS),
        *((f"more{p}", LAYERS + p) for p in EFFECTS),
    ):
        bench.build(name, layers)
    return bench


def compare(bench: Lab, name: str, seed: int) -> Callable[[], Any]:
    """A comparison to be made when it is asked for."""
    return lambda: facts(bench.compare(name, seed=seed)[0])


def verdicts(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """A/A with every engine; known slow-downs and disturbance with one of them.

    The parts grow together, so that a run that is cut short has some of each.
    """
    with ExitStack() as stack:
        benches = [stack.enter_context(prepared(folder, engine, plan, threads)) for engine in ENGINES]
        last = benches[-1]
        for bench in benches:
            fill(bench)
        for number in range(max(plan.same, plan.disturbed, *plan.more.values())):
            if number < plan.same:
                for engine, bench in zip(ENGINES, benches, strict=True):
                    notes.take(f"same {engine} {number}", compare(bench, "twin", number))
            for percent, times in plan.more.items():
                if number < times:
                    notes.take(f"more {percent} {number}", compare(last, f"more{percent}", 100 + number))
            if number < plan.disturbed:
                with bursts():
                    notes.take(f"disturbed twin {number}", compare(last, "twin", 200 + number))
                    notes.take(f"disturbed more10 {number}", compare(last, "more10", 300 + number))


@contextmanager
def bursts() -> Iterator[None]:
    """A second program that takes a core now and then."""
    disturbing = subprocess.Popen([sys.executable, "-c", BURSTS])
    try:
        yield
    finally:
        disturbing.kill()
        disturbing.wait()


def repeatability(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """Speed-ups over TorchScript of two other engines and of a heavier stack, run by run, and the peers' figures."""
    named = {"baseline": "jit", "onnx": "onnx", "openvino": "openvino", "heavier": "jit"}
    here = str(Path(__file__).parent)
    with lab(
        folder / "engines",
        named,
        threads,
        batch_sizes=(SIZE,),
        focus_batch_sizes=(SIZE,),
        focus_time=plan.further_s,
    ) as bench:
        for name in named:
            bench.build(name, LAYERS + 10 * (name == "heavier"))
        file = folder / "engines/models/openvino/model.xml"
        for number in range(plan.repeats):
            notes.take(f"repeat {number}", partial(compare_all, bench, 400 + number))
            notes.take(f"app {number}", lambda: benchmark_app(file, SIZE, PIXELS, threads, "fp32"))
            notes.take(f"timer {number}", lambda: timer(here, threads))


def compare_all(bench: Lab, seed: int) -> dict[str, Any]:
    """All three against the baseline, in common rounds."""
    rows = bench.compare("onnx", "openvino", "heavier", seed=seed)
    return {row.recipe: facts(row) | {"throughput": row.throughput_samples_per_s} for row in rows}


def timer(here: str, threads: int) -> float:
    """What torch's Timer says of TorchScript over eager, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", TIMER, here, str(threads), str(LAYERS)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def agreement(folder: Path, plan: Plan, threads: int, notes: Notebook) -> None:
    """The same file here, in a bare loop and in benchmark_app, in turn: what the harness costs, and what it sees."""
    with lab(
        folder / "engines", {"baseline": "jit", "openvino": "openvino"}, threads, batch_sizes=(SIZE,)
    ) as bench:
        bench.build("openvino", LAYERS)
        file = folder / "engines/models/openvino/model.xml"
        for number in range(plan.alternations):

            def measure() -> dict[str, float]:
                given = (file, SIZE, PIXELS, threads, "fp32")
                return {
                    "here": bench.throughput("openvino", SIZE, SECONDS),
                    "a bare loop": bare_loop(*given),
                    "benchmark_app": benchmark_app(*given),
                }

            notes.take(f"agreement {number}", measure)


def overhead_us() -> float:
    """What timing one call adds to it, median of 10,000."""
    device = Cpu()
    times = [device.time_ms(lambda: None) for _ in range(10_000)]
    return 1000 * statistics.median(times)


def spread(values: list[float]) -> float:
    """The coefficient of variation, percent."""
    return 100 * statistics.stdev(values) / statistics.mean(values) if len(values) > 1 else math.nan


def show(notes: Notebook, console: Console) -> None:
    """The figures, each beside what it should be."""
    found = notes.found

    def of(prefix: str) -> list[Any]:
        return [value for key, value in found.items() if key.startswith(prefix)]

    table = Table(title="precision", title_justify="left")
    for column in ("what", "found", "wanted"):
        table.add_column(column)
    same = of("same ")
    wrong = sum(one["verdict"] in ("faster", "slower") for one in same)
    table.add_row("a recipe against itself: faster or slower", f"{wrong} of {len(same)}", "at most 1 in 10")
    for percent in EFFECTS:
        runs = of(f"more {percent} ")
        seen = sum(one["verdict"] == "slower" for one in runs)
        wanted = {3: "-", 5: "at least 90 %", 10: "all"}[percent]
        table.add_row(f"{percent} % more work: slower", f"{seen} of {len(runs)}", wanted)
    runs = of("more 5 ")
    if runs:
        grand = math.exp(statistics.mean(math.log(one["speedup"]) for one in runs))
        held = sum(one["low"] <= grand <= one["high"] for one in runs)
        table.add_row("95 % intervals that hold the grand mean", f"{held} of {len(runs)}", "at least 90 %")
    repeats = of("repeat ")
    for recipe in repeats[0] if repeats else ():
        ratio = spread([one[recipe]["speedup"] for one in repeats])
        table.add_row(f"speed-up of {recipe}, run to run", f"{ratio:.1f} %", "at most 2 %")
    if len(repeats) > 1:
        rate = spread([one["openvino"]["throughput"] for one in repeats])
        table.add_row("throughput of openvino, run to run", f"{rate:.1f} %", "-")
        table.add_row("the same by benchmark_app", f"{spread(of('app ')):.1f} %", "-")
        table.add_row("speed-up of jit by torch's Timer", f"{spread(of('timer ')):.1f} %", "-")
    alternated = of("agreement ")
    for peer in alternated[0] if len(alternated) > 1 else ():
        if peer != "here":
            logs = [math.log(one["here"] / one[peer]) for one in alternated]
            centre, half = statistics.mean(logs), 2 * statistics.stdev(logs) / math.sqrt(len(logs))
            table.add_row(f"openvino here over {peer}", f"{math.exp(centre):.3f} ±{half:.3f}", "within 2 %")
    for name, good in (("twin", ("same", "unclear")), ("more10", ("slower", "unclear"))):
        runs = of(f"disturbed {name} ")
        right = sum(one["verdict"] in good for one in runs)
        marked = sum(one["stable"] is False for one in runs)
        table.add_row(
            f"disturbed, {name}: no wrong verdict", f"{right} of {len(runs)}; {marked} marked", "all"
        )
    table.add_row("harness, per inference", f"{overhead_us():.2f} us", "under 20 us")
    console.print(table)


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--threads", type=int, default=allowed_threads())
    parser.add_argument("--folder", type=Path, default=Path("results-precision"))
    parser.add_argument("--only", choices=["verdicts", "repeatability", "agreement"], help="one part")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    plan = FAST if given.fast else FULL
    notes = Notebook(given.folder / "found.jsonl", console)
    for part in (verdicts, repeatability, agreement):
        if given.only in (None, part.__name__):
            part(given.folder, plan, given.threads, notes)
    show(notes, console)


if __name__ == "__main__":
    main()
