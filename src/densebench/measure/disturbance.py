"""Whether something else used the machine while a block was timed: read before and after, judged by fixed rules."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from densebench.measure.counters import JIFFY_S, Counters, read_counters
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
    """Looks at the machine before and after a block of timed calls, and never during it."""

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
        self._quiet, self._quiet_blocks = Counters(0.0), 0  # of blocks by themselves undisturbed, added up

    def begin(self) -> None:
        """Look before the block; on CUDA, once something was computed there."""
        if self._gpu is None and self._device != "cpu":
            found = open_gpu()
            self._gpu = found if isinstance(found, Gpu) else None
        if self._gpu:
            self._gpu_before = GpuReading.of(self._gpu)
        self._before = read_counters(self._cpus)

    def end(self) -> str:
        """Look after the block, and say what disturbed it since `begin`; empty when nothing did."""
        assert self._before is not None, "begin comes first"
        # The GPU first: it stops being slowed as soon as it has nothing to do.
        gpu_after = GpuReading.of(self._gpu) if self._gpu else GpuReading()
        after = read_counters(self._cpus)
        said = self._on_the_host(self._before, after)
        window_s = after.clock_s - self._before.clock_s
        said += on_the_gpu(self._gpu_before, gpu_after, window_s, full_load=self._full_load)
        if not said:
            self._quiet = self._quiet.with_span(self._before, after)
            self._quiet_blocks += 1
        return "; ".join(said)

    def together(self) -> str:
        """What disturbed all blocks so far that `end` found undisturbed: each may be too short to tell."""
        return "; ".join(self._on_the_host(Counters(0.0), self._quiet, self._quiet_blocks))

    def _on_the_host(self, before: Counters, after: Counters, blocks: int = 1) -> list[str]:
        said = on_the_host(before, after, len(self._cpus), self._threads, steal=self._steal, blocks=blocks)
        if said and hasattr(os, "getloadavg"):
            said.append(f"load average {os.getloadavg()[0]:.1f}")
        return said


def stolen(share: float) -> str:
    """How much of the CPU time that was wanted here the host gave to others."""
    return f"{share:.0%} of the CPU time stolen by the host".replace("%", " %")


def on_the_host(
    before: Counters, after: Counters, cpus: int, threads: int, *, steal: bool = True, blocks: int = 1
) -> list[str]:
    """What disturbed a block between two readings, or so many of them added up, by the rules above; pure."""
    window_s = max(after.clock_s - before.clock_s, 1e-9)
    said = []
    others, unsure = others_cpus(before, after, cpus), rounding_s(before, after, cpus, blocks) / window_s
    if others - unsure > MOST_OTHERS + SPARE_SHARE * max(0, cpus - threads):
        said.append(f"other processes took {others:.2f} of {cpus} cores")
    stolen_s = after.stolen_s - before.stolen_s
    wanted_s = stolen_s + max(0.0, after.busy_s - before.busy_s)
    if steal and stolen_s - 2 * JIFFY_S * cpus > max(
        MOST_STOLEN * wanted_s, 1e-9
    ):  # but for floats' rounding
        said.append(stolen(stolen_s / wanted_s))
    pages = after.swapped_pages - before.swapped_pages
    if pages > MOST_SWAPPED_PAGES:
        said.append(f"{pages} pages swapped")
    held_s = after.throttled_s - before.throttled_s
    if held_s > MOST_HELD * window_s:
        said.append(f"the container's CPU limit held work back for {held_s:.2f} s")
    if after.hot > before.hot:
        said.append("the CPU slowed down because it was hot")
    return said + _fall("CPU", before.clock_mhz, after.clock_mhz)


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


def others_cpus(before: Counters, after: Counters, cpus: int) -> float:
    """How many CPUs' time others took between two readings: 0 to all of them."""
    window_s = max(after.clock_s - before.clock_s, 1e-9)
    taken_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return min(max(0.0, taken_s / window_s), float(cpus))


def rounding_s(before: Counters, after: Counters, cpus: int, blocks: int = 1) -> float:
    """How much of the others' CPU time may be rounding, in seconds.

    /proc/stat counts in jiffies, usually of 10 ms, so each CPU may be off by one at either end: of a block of 50 ms
    others must have had most. Over many blocks that cancels: it has a variance of 1/6 at each, the same on all CPUs
    as their ticks come together. Most kernels give each jiffy to whoever runs when it ends, whereas a process's own
    time is exact: with a share p of the CPUs used, n jiffies are a sample with variance n p (1 - p). Two standard
    deviations are allowed for. A block that keeps its CPUs busy has none of the latter.
    """
    jiffies = cpus * (after.clock_s - before.clock_s) / JIFFY_S
    share = min(1.0, max(0.0, (after.own_s - before.own_s) / JIFFY_S / max(jiffies, 1e-9)))
    at_the_ends = 2 * cpus * max(1.0, math.sqrt(blocks / 6))
    return JIFFY_S * math.hypot(at_the_ends, 2 * math.sqrt(max(jiffies, 0) * share * (1 - share)))


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
