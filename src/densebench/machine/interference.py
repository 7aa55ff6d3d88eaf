"""Whether something else used the machine while a slice was timed: read before and after, judged by fixed rules."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from densebench.machine.counters import JIFFY_S, Counters, added, read_counters
from densebench.machine.nvml import POWER_LIMIT, Gpu, open_gpu
from densebench.schema import Frozen

# CPUs that others may use. A parallel region waits for its slowest thread, so a tenth of one CPU can already cost the
# slice a tenth; services of a quiet machine take a hundredth.
MOST_OTHERS = 0.1
# On CPUs that the slice leaves free others do less harm: up to half of them the scheduler finds an idle one.
SPARE_SHARE = 0.5
# Of the CPU time that was wanted here. More would eat up the default --precision-target of 2 %.
MOST_STOLEN = 0.02
# Of the slice's time, for a container's limit and a GPU's: for the same reason.
MOST_HELD = 0.02
# 1 MB. Less is a service that woke up, not this slice's memory.
MOST_SWAPPED_PAGES = 256
# Neighbouring turbo steps are 2 to 5 % apart, so this is more than one of them.
MOST_CLOCK_FALL = 0.1
NOTHING_S = 1e-9  # what may be a float's rounding


class Interference(Frozen):
    """What else used the machine: which kind of thing, and how it is told."""

    kind: str
    text: str


@dataclass(frozen=True)
class GpuReading:
    """A GPU at one moment; times in seconds since its driver was loaded."""

    clock_mhz: float | None = None
    slowed_by: frozenset[str] = frozenset()
    slowed_s: dict[str, float] = field(default_factory=dict)
    others: int = 0

    @classmethod
    def of(cls, gpu: Gpu) -> GpuReading:
        """What the driver says now."""
        return cls(gpu.clock_mhz(), gpu.slowed_by(), gpu.slowed_s(), gpu.others())


class Watch:
    """Reads the machine's counters before and after a slice of timed calls, and never during it.

    Attributes:
        span: what was counted between the two last readings.
        power_limited: the GPU's power limit held its clock then, without being interference.

    """

    def __init__(
        self,
        device: str = "cpu",
        threads: int = 1,
        *,
        gpu: Gpu | None = None,
        steal: bool = True,
    ) -> None:
        """Prepare to read.

        Args:
            device: `cpu` or `cuda`; on CUDA the driver is asked too, if it answers.
            threads: how many the slice computes with.
            gpu: instead of the one that PyTorch uses.
            steal: whether CPU time that the host took is judged; a timer has a stricter rule of its own.

        """
        self._cpus = frozenset(os.sched_getaffinity(0))
        self._threads = threads
        self._device = device
        self._gpu = gpu
        self._steal = steal
        self._before: Counters | None = None
        self._gpu_before = GpuReading()
        self.span = Counters()
        self.power_limited = False

    def begin(self, *, at_work: bool = True) -> None:
        """Read before the slice; on CUDA, once something was computed there.

        At rest a clock is another one than at work, all CPUs together or not: then it isn't compared.
        """
        if self._gpu is None and self._device != "cpu":
            found = open_gpu()
            self._gpu = found if isinstance(found, Gpu) else None
        if self._gpu:
            reading = GpuReading.of(self._gpu)
            self._gpu_before = reading if at_work else replace(reading, clock_mhz=None)
        before = read_counters(self._cpus)
        self._before = before if at_work else replace(before, clock_mhz=None)

    def end(self) -> tuple[Interference, ...]:
        """Read after the slice, and say what disturbed it since `begin`."""
        assert self._before is not None, "begin comes first"
        # The GPU first: it stops being slowed as soon as it has nothing to do.
        gpu_after = GpuReading.of(self._gpu) if self._gpu else GpuReading()
        after = read_counters(self._cpus)
        self.span = after.since(self._before)
        found = on_the_host(self._before, after, len(self._cpus), self._threads, steal_counts=self._steal)
        of_gpu, self.power_limited = on_the_gpu(self._gpu_before, gpu_after, self.span.clock_s)
        return (*found, *of_gpu)

    def together(self, spans: Sequence[Counters]) -> tuple[Interference, ...]:
        """What disturbed slices that may each be too short to tell, by their `span`."""
        return tuple(others_said(added(spans), len(self._cpus), self._threads, len(spans))) if spans else ()


def told(found: Sequence[Interference]) -> str:
    """What disturbed a measurement, in words; empty where nothing did."""
    return "; ".join(one.text for one in found)


def steal(span: Counters) -> Interference:
    """How much of the CPU time that was wanted here the host gave to others."""
    wanted_s = span.stolen_s + max(0.0, span.busy_s)
    return Interference(
        kind="steal", text=f"{100 * span.stolen_s / wanted_s:.0f} % of the CPU time stolen by the host"
    )


def on_the_host(
    before: Counters, after: Counters, cpus: int, threads: int, *, steal_counts: bool = True
) -> list[Interference]:
    """What disturbed a slice between two readings, by the rules above. Pure."""
    span = after.since(before)
    said = others_said(span, cpus, threads)
    wanted_s = span.stolen_s + max(0.0, span.busy_s)
    if steal_counts and span.stolen_s - 2 * JIFFY_S * cpus > max(MOST_STOLEN * wanted_s, NOTHING_S):
        said.append(steal(span))
    if span.swapped_pages > MOST_SWAPPED_PAGES:
        said.append(Interference(kind="swap", text=f"{span.swapped_pages} pages swapped"))
    if span.throttled_s > MOST_HELD * span.clock_s:
        text = f"the container's CPU limit held work back for {span.throttled_s:.2f} s"
        said.append(Interference(kind="throttle", text=text))
    if span.hot > 0:
        said.append(Interference(kind="heat", text="the CPU slowed down because it was hot"))
    same = before.clock_cpu == after.clock_cpu
    return said + (_fall("CPU", before.clock_mhz, after.clock_mhz) if same else [])


def on_the_gpu(before: GpuReading, after: GpuReading, window_s: float) -> tuple[list[Interference], bool]:
    """What disturbed a slice on the GPU between two readings, and whether it ran at its power limit; pure.

    Many cards can't hold their full clock under load: their power limit is a part of them, as it will be where the
    model is deployed. It disturbs a slice only if it begins to hold within the slice, so that the clock falls.
    """
    slowed = after.slowed_by | {
        why
        for why, spent_s in after.slowed_s.items()
        if spent_s - before.slowed_s.get(why, spent_s) > MOST_HELD * window_s
    }
    held_before = POWER_LIMIT in slowed & before.slowed_by
    fall = [] if held_before else _fall("GPU", before.clock_mhz, after.clock_mhz)
    limited = POWER_LIMIT in slowed and not fall
    reasons = sorted(slowed - {POWER_LIMIT} if limited else slowed)
    said = (
        [Interference(kind="gpu", text=f"the GPU was slowed down: {', '.join(reasons)}")] if reasons else []
    )
    others = max(before.others, after.others)
    if others > 0:
        text = f"{others} other process{'es' * (others > 1)} on the GPU"
        said.append(Interference(kind="gpu processes", text=text))
    return said + fall, limited


def others_said(span: Counters, cpus: int, threads: int, slices: int = 1) -> list[Interference]:
    """What is told of other processes' CPU time in so many slices; pure."""
    others = others_cpus(span, cpus)
    unsure = rounding_s(span, cpus, threads, slices) / max(span.clock_s, NOTHING_S)
    if others - unsure <= MOST_OTHERS + SPARE_SHARE * max(0, cpus - threads):
        return []
    load = f" (load average {os.getloadavg()[0]:.1f})"
    return [Interference(kind="others", text=f"other processes took {others:.2f} of {cpus} cores{load}")]


def others_cpus(span: Counters, cpus: int) -> float:
    """How many CPUs' time others took: 0 to all of them."""
    return min(max(0.0, (span.busy_s - span.own_s) / max(span.clock_s, NOTHING_S)), float(cpus))


def rounding_s(span: Counters, cpus: int, threads: int, slices: int = 1) -> float:
    """How much of the others' CPU time may be rounding, in seconds.

    /proc/stat counts in jiffies, usually of 10 ms, so each CPU may be off by one at either end: of a slice of 50 ms
    others must have had most. Over many slices that cancels: it has a variance of up to 1/4 at each, the same on all
    CPUs as their ticks come together. Most kernels give each jiffy to whoever runs when it ends, whereas a process's
    own time is exact: each tick is a sample of how many CPUs it uses. With m of its T threads running on average
    that has a variance of m (T - m) at most, when they run and wait together (Bhatia & Davis, American Mathematical
    Monthly 107, 2000). Two standard deviations are allowed for. A slice that keeps its threads busy has none of the
    latter.
    """
    ticks = max(0.0, span.clock_s) / JIFFY_S
    used = max(0.0, span.own_s) / max(span.clock_s, NOTHING_S)
    most = cpus if used > threads else min(threads, cpus)
    at_the_ends = cpus * max(2.0, math.sqrt(slices))
    return JIFFY_S * math.hypot(at_the_ends, 2 * math.sqrt(ticks * max(0.0, used * (most - used))))


def _fall(of: str, before_mhz: float | None, after_mhz: float | None) -> list[Interference]:
    if not before_mhz or after_mhz is None or after_mhz >= (1 - MOST_CLOCK_FALL) * before_mhz:
        return []
    text = f"the {of}'s clock fell from {before_mhz:.0f} to {after_mhz:.0f} MHz"
    return [Interference(kind="clock", text=text)]
