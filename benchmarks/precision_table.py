"""What `precision.py` found, beside what the peers say of the same stacks, and whether it is what it should be."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from notebook import Notebook
from rich.console import Console
from rich.table import Table

from densebench.measure.device import Cpu
from densebench.measure.timer import Timer
from densebench.stats.speedup import CLEAR, Estimate, geometric_mean

ENGINES = ("jit", "onnx", "openvino")  # of the stacks; slow-downs and interference are of the last of them
STACK_SIZE = 1
KINDS = {**dict.fromkeys(ENGINES, STACK_SIZE), "densenet1": 1, "densenet8": 8}  # their batch sizes
EFFECTS = (3, 5, 10)  # percent of work more
MOST_WRONG = 3 / 60  # A/A comparisons called faster or slower
LEAST_FOUND = LEAST_HELD = 27 / 30
NEAR = 0.02  # how far from a bare loop
MOST_IN_A_CALL_US = 20.0
SLICES, SLICE_S = 5, 0.6  # of calls that only spin, to see what lies between calls


@dataclass(frozen=True)
class Line:
    """A line of the table; `met` is None where nothing is wanted."""

    what: str
    found: str
    wanted: str = "-"
    met: bool | None = None
    peers: str = "-"


def show(notes: Notebook, planned: Sequence[str], console: Console, threads: int) -> int:
    """Print the figures, each beside the peers' and what it should be; returns 1 where any isn't."""
    title = f"precision, code {', '.join(sorted(notes.codes))}"
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("what", "found", "peers", "wanted", ""):
        table.add_column(column)
    lines = [
        line
        for part in (of_pairs, of_twins, of_more, of_disturbed, of_engines, of_agreement)
        for line in part(notes)
    ]
    lines += [*of_harness(threads), *of_time(notes, planned)]
    words = {True: "met", False: "missed", None: ""}
    for line in lines:
        table.add_row(line.what, line.found, line.peers, line.wanted, words[line.met])
    console.print(table)
    return int(any(line.met is False for line in lines))


def of_pairs(notes: Notebook) -> Iterator[Line]:
    """How many comparisons have pairs: a machine that is too slow for them, or a lost reference process, has none."""
    runs = [one for kind in KINDS for recipes in notes.of(kind) for one in recipes.values()]
    if runs:
        paired = sum(one["paired"] for one in runs)
        yield Line("measured in pairs", f"{paired} of {len(runs)}", "all", paired == len(runs))


def of_twins(notes: Notebook) -> Iterator[Line]:
    """An artifact against itself."""
    twins = {kind: notes.of(kind, "twin") for kind in KINDS}
    same = [run for runs in twins.values() for run in runs]
    if same:
        wrong = sum(one["verdict"] in ("faster", "slower") for one in same)
        found = f"{wrong} of {len(same)}; {_alike(same)}"
        met = wrong <= MOST_WRONG * len(same)
        peers = peers_of(notes, "twin")
        yield Line("an artifact against itself: faster or slower", found, "at most 3 of 60", met, peers)
    for kind, runs in twins.items():
        if runs:
            mean = geometric_mean([math.log(one["speedup"]) for one in runs])
            yield Line(f"{kind} against itself, mean ratio", f"{interval(mean)}; {_alike(runs)}", "holds 1")


def of_more(notes: Notebook) -> Iterator[Line]:
    """Known slow-downs, and how often the interval of one of them holds the mean of all."""
    limits = {5: (LEAST_FOUND, "at least 27 of 30"), 10: (1.0, "all")}
    for percent in EFFECTS:
        if runs := notes.of(ENGINES[-1], f"more{percent}"):
            slower = sum(one["verdict"] == "slower" for one in runs)
            found = f"{slower} of {len(runs)}; {half_widths(runs)}; run to run {spread(_speedups(runs))}"
            least, wanted = limits.get(percent, (None, "-"))
            met = None if least is None else slower >= least * len(runs)
            what = f"{percent} % more work: slower"
            yield Line(what, found, wanted, met, peers_of(notes, f"more{percent}"))
    if runs := notes.of(ENGINES[-1], "more5"):
        held = held_by(runs)
        met = held >= LEAST_HELD * len(runs)
        what = "95 % intervals that hold the mean of all runs"
        yield Line(what, f"{held} of {len(runs)}", "at least 27 of 30", met, "no intervals")


def of_disturbed(notes: Notebook) -> Iterator[Line]:
    """Verdicts while another program takes a core now and then."""
    for name, good in (("twin", ("same", "unclear")), ("more10", ("slower", "unclear"))):
        if runs := notes.of("disturbed", name):
            right = sum(one["verdict"] in good for one in runs)
            marked = sum(bool(one["interference"]) for one in runs)
            unclear = sum(one["verdict"] == "unclear" for one in runs)
            found = f"{right} of {len(runs)} ({unclear} `unclear`); {half_widths(runs)}"
            yield Line(f"disturbed, {name}: no wrong verdict", found, "all", right == len(runs))
            found = f"{marked} of {len(runs)}"
            yield Line(f"disturbed, {name}: marked or repeated", found, "all", marked == len(runs))


def of_engines(notes: Notebook) -> Iterator[Line]:
    """Other engines over DenseNet-121 in plain PyTorch, run by run."""
    for kind in KINDS:
        for recipe in ("onnx", "openvino") if kind not in ENGINES else ():
            if runs := notes.of(kind, recipe):
                mean = math.exp(statistics.mean(math.log(one) for one in _speedups(runs)))
                found = f"{mean:.3f}x; run to run {spread(_speedups(runs))}; {half_widths(runs)}; "
                found += f"{held_by(runs)} of {len(runs)} intervals hold the mean"
                yield Line(f"{recipe} over eager, {kind}", found)


def of_agreement(notes: Notebook) -> Iterator[Line]:
    """The same file here and by others, alternating."""
    runs = notes.of("agreement")
    for peer in ("a bare loop", "benchmark_app") if len(runs) > 1 else ():
        ratio = geometric_mean([math.log(one["here"] / one[peer]) for one in runs])
        met = abs(ratio.value - 1) <= NEAR if peer == "a bare loop" else None
        yield Line(f"openvino here over {peer}", interval(ratio), "within 2 %", met)


def of_harness(threads: int) -> Iterator[Line]:
    """What timing adds to a call, and what lies between two."""
    inside_us, between_us = overhead_us(threads)
    met = inside_us < MOST_IN_A_CALL_US
    yield Line("harness, in a timed call", f"{inside_us:.2f} us", f"under {MOST_IN_A_CALL_US:g} us", met)
    for call_ms, microseconds in between_us.items():
        share = f"{microseconds:.0f} us ({microseconds / 10 / call_ms:.2f} %)"
        yield Line(f"between two calls of {call_ms} ms", share)


def of_time(notes: Notebook, planned: Sequence[str]) -> Iterator[Line]:
    """How long it took, and how much of the plan that was."""
    made = sum(key in notes.found for key in planned)
    found = f"{notes.seconds / 60:.0f} min; {made} of {len(planned)} comparisons"
    yield Line("all of it took", found, "100 min at most; all")


def overhead_us(threads: int) -> tuple[float, dict[int, float]]:
    """What timing adds to a call, and what lies between two, by how many ms they take; microseconds a call."""
    device = Cpu()
    inside = statistics.median(device.time_ms(lambda: None) for _ in range(10_000))
    return 1000 * inside, {
        call_ms: statistics.median(_between_us(call_ms, threads) for _ in range(SLICES))
        for call_ms in (2, 20, 100)
    }


def _between_us(call_ms: int, threads: int) -> float:
    """All that a slice of such calls takes beside them, readings of the kernel's counters among it."""
    computed: list[float] = []

    def spin() -> None:
        began = time.perf_counter()
        while time.perf_counter() < began + call_ms / 1000:
            pass
        computed.append(time.perf_counter() - began)

    timer = Timer(spin, Cpu(), threads)
    timer.call_ms = call_ms
    started = time.perf_counter()
    timer.slice(SLICE_S)
    return 1e6 * (time.perf_counter() - started - sum(computed)) / len(computed)


def _speedups(runs: Sequence[dict[str, Any]]) -> list[float]:
    return [one["speedup"] for one in runs]


def _alike(runs: Sequence[dict[str, Any]]) -> str:
    return f"{sum(one['verdict'] == 'same' for one in runs)} `same`; {half_widths(runs)}"


def spread(values: Sequence[float]) -> str:
    """The coefficient of variation."""
    return f"{100 * statistics.stdev(values) / statistics.mean(values):.1f} %" if len(values) > 1 else "-"


def held_by(runs: Sequence[dict[str, Any]]) -> int:
    """How many intervals hold the grand mean."""
    grand = math.exp(statistics.mean(math.log(one) for one in _speedups(runs)))
    return sum(one["low"] <= grand <= one["high"] for one in runs if one["low"])


def half_widths(runs: Sequence[dict[str, Any]]) -> str:
    """The median of the intervals' half-widths."""
    widths = [math.sqrt(one["high"] / one["low"]) - 1 for one in runs if one["low"]]
    return f"±{100 * statistics.median(widths):.1f} %" if widths else "no interval"


def interval(found: Estimate) -> str:
    """A ratio with its 95 % interval, where it has one."""
    return f"{found.value:.4f}" + (f" ({found.low:.4f} to {found.high:.4f})" if found.low else "")


def peers_of(notes: Notebook, name: str) -> str:
    """How often each peer's plain figures differ by more than 3 %, and from what to what they go."""
    said = []
    for peer, called in (("app", "benchmark_app"), ("timer", "Timer")):
        if runs := notes.of(peer):
            ratios = [one[name] / one["baseline"] for one in runs]
            seen = sum(abs(one - 1) > CLEAR for one in ratios)
            lowest, highest = min(ratios), max(ratios)
            said.append(f"{called}: beyond 3 % in {seen} of {len(ratios)} ({lowest:.3f} to {highest:.3f})")
    return "\n".join(said) or "-"
