"""Whether something else used the machine while a block was timed: read before and after, judged by fixed rules."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from densebench.measure.counters import JIFFY_S, Counters, added, read_counters
from densebench.measure.nvml import Gpu, open_gpu

# CPUs that others may use. A parallel region waits for its slowest thread, so a tenth of one CPU can already cost the
# block a tenth; services of a quiet machine take a hundredth.
MOST_OTHERS = 0.1
# On CPUs that the block leaves free others do less harm: up to half of them the scheduler finds an idle one.
SPARE_SHARE = 0.5
# Of the CPU time that was wanted here. More would eat up the default --precision-target of 2 %.
MOST_STOLEN = 0.02
# Of the block's time, for a container's limit and a GPU's: for the same reason.
MOST_HELD = 0.02
# 1 MB. Less is a service that woke up, not this block's memory.
MOST_SWAPPED_PAGES = 256
# Neighbouring turbo steps are 2 to 5 % apart, so this is more than one of them.
MOST_CLOCK_FALL = 0.1
NOTHING_S = 1e-9  # what may be a float's rounding


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
    """Looks at the machine before and after a block of timed calls, and never during it.

    Attributes:
        span: what was counted between the two last looks.

    """

    def __init__(
        self,
        device: str = "cpu",
        threads: int = 1,
        *,
        gpu: Gpu | None = None,
        full_load: bool = False,
        steal: bool = True,
    ) -> None:
        """Prepare to look.

        Args:
            device: `cpu` or `cuda`; on CUDA the driver is asked too, if it answers.
            threads: how many the block computes with.
            gpu: instead of the one that PyTorch uses.
            full_load: the block takes all that a GPU can give, so that its power limit is no disturbance.
            steal: CPU time that the host took counts; not where the calls that it hit are left out.

        """
        self._cpus = frozenset(os.sched_getaffinity(0))
        self._threads = threads
        self._device = device
        self._gpu = gpu
        self._full_load = full_load
        self._steal = steal
        self._before: Counters | None = None
        self._gpu_before = GpuReading()
        self.span = Counters()

    def begin(self, *, at_work: bool = True) -> None:
        """Look before the block; on CUDA, once something was computed there.

        At rest a CPU's clock is another one than at work, all CPUs together or not: then it isn't compared.
        """
        if self._gpu is None and self._device != "cpu":
            found = open_gpu()
            self._gpu = found if isinstance(found, Gpu) else None
        if self._gpu:
            self._gpu_before = GpuReading.of(self._gpu)
        before = read_counters(self._cpus)
        self._before = before if at_work else replace(before, clock_mhz=None)

    def end(self) -> str:
        """Look after the block, and say what disturbed it since `begin`; empty when nothing did."""
        assert self._before is not None, "begin comes first"
        # The GPU first: it stops being slowed as soon as it has nothing to do.
        gpu_after = GpuReading.of(self._gpu) if self._gpu else GpuReading()
        after = read_counters(self._cpus)
        self.span = after.since(self._before)
        said = on_the_host(self._before, after, len(self._cpus), self._threads, steal=self._steal)
        if said:
            said += _load()
        said += on_the_gpu(self._gpu_before, gpu_after, self.span.clock_s, full_load=self._full_load)
        return "; ".join(said)

    def together(self, spans: Sequence[Counters]) -> str:
        """What disturbed blocks that may each be too short to tell, by their `span`."""
        said = others_said(added(spans), len(self._cpus), self._threads, len(spans)) if spans else []
        return "; ".join(said + _load()) if said else ""


def _load() -> list[str]:
    return [f"load average {os.getloadavg()[0]:.1f}"] if hasattr(os, "getloadavg") else []


def stolen(share: float) -> str:
    """How much of the CPU time that was wanted here the host gave to others."""
    return f"{share:.0%} of the CPU time stolen by the host".replace("%", " %")


def on_the_host(
    before: Counters, after: Counters, cpus: int, threads: int, *, steal: bool = True
) -> list[str]:
    """What disturbed a block between two readings, by the rules above; pure."""
    span = after.since(before)
    said = others_said(span, cpus, threads)
    wanted_s = span.stolen_s + max(0.0, span.busy_s)
    if steal and span.stolen_s - 2 * JIFFY_S * cpus > max(MOST_STOLEN * wanted_s, NOTHING_S):
        said.append(stolen(span.stolen_s / wanted_s))
    if span.swapped_pages > MOST_SWAPPED_PAGES:
        said.append(f"{span.swapped_pages} pages swapped")
    if span.throttled_s > MOST_HELD * span.clock_s:
        said.append(f"the container's CPU limit held work back for {span.throttled_s:.2f} s")
    if span.hot > 0:
        said.append("the CPU slowed down because it was hot")
    same = before.clock_cpu == after.clock_cpu
    return said + (_fall("CPU", before.clock_mhz, after.clock_mhz) if same else [])


def on_the_gpu(
    before: GpuReading, after: GpuReading, window_s: float, *, full_load: bool = False
) -> list[str]:
    """What disturbed a block on the GPU between two readings; pure."""
    counted = {
        why
        for why, spent_s in after.slowed_s.items()
        if spent_s - before.slowed_s.get(why, spent_s) > MOST_HELD * window_s
    }
    limited = full_load and "power limit" in after.slowed_by | counted
    reasons = sorted((after.slowed_by | counted) - ({"power limit"} if limited else set()))
    said = [f"the GPU was slowed down: {', '.join(reasons)}"] if reasons else []
    others = max(before.others, after.others)
    if others > 0:
        said.append(f"{others} other process{'es' * (others > 1)} on the GPU")
    return said if limited else said + _fall("GPU", before.clock_mhz, after.clock_mhz)


def others_said(span: Counters, cpus: int, threads: int, blocks: int = 1) -> list[str]:
    """What is told of other processes' CPU time in so many blocks; pure."""
    others = others_cpus(span, cpus)
    unsure = rounding_s(span, cpus, threads, blocks) / max(span.clock_s, NOTHING_S)
    if others - unsure <= MOST_OTHERS + SPARE_SHARE * max(0, cpus - threads):
        return []
    return [f"other processes took {others:.2f} of {cpus} cores"]


def others_cpus(span: Counters, cpus: int) -> float:
    """How many CPUs' time others took: 0 to all of them."""
    return min(max(0.0, (span.busy_s - span.own_s) / max(span.clock_s, NOTHING_S)), float(cpus))


def rounding_s(span: Counters, cpus: int, threads: int, blocks: int = 1) -> float:
    """How much of the others' CPU time may be rounding, in seconds.

    /proc/stat counts in jiffies, usually of 10 ms, so each CPU may be off by one at either end: of a block of 50 ms
    others must have had most. Over many blocks that cancels: it has a variance of up to 1/4 at each, the same on all
    CPUs as their ticks come together. Most kernels give each jiffy to whoever runs when it ends, whereas a process's
    own time is exact: each tick is a sample of how many CPUs it uses. With m of its T threads running on average
    that has a variance of m (T - m) at most, when they run and wait together (Bhatia & Davis, American Mathematical
    Monthly 107, 2000). Two standard deviations are allowed for. A block that keeps its threads busy has none of the
    latter.
    """
    ticks = max(0.0, span.clock_s) / JIFFY_S
    used = max(0.0, span.own_s) / max(span.clock_s, NOTHING_S)
    most = cpus if used > threads else min(threads, cpus)
    at_the_ends = cpus * max(2.0, math.sqrt(blocks))
    return JIFFY_S * math.hypot(at_the_ends, 2 * math.sqrt(ticks * max(0.0, used * (most - used))))


def _fall(of: str, before_mhz: float | None, after_mhz: float | None) -> list[str]:
    if not before_mhz or after_mhz is None or after_mhz >= (1 - MOST_CLOCK_FALL) * before_mhz:
        return []
    return [f"the {of}'s clock fell from {before_mhz:.0f} to {after_mhz:.0f} MHz"]


def of_row(blocks: Sequence[str]) -> str:
    """What the column `disturbance` says of a row, from what `Watch.end` said of each of its blocks.

    One disturbed block is quoted for all, that with most to say, so that the column stays short.
    """
    disturbed = [said for said in blocks if said]
    if not disturbed:
        return ""
    worst = max(disturbed, key=lambda said: said.count("; "))
    return worst if len(blocks) == 1 else f"{worst} (in {len(disturbed)} of {len(blocks)} blocks)"
