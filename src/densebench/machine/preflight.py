"""What would spoil timings here before any is taken, and whether a run has room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from densebench.machine.counters import CPUS, container_memory_free_mb, cpu_s, read_counters
from densebench.machine.cpus import Placement, cores
from densebench.machine.facts import MB, container_cpus, read
from densebench.machine.interference import MOST_OTHERS, MOST_STOLEN, others_cpus, rounding_s

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SAMPLE_S = 0.5  # 50 jiffies a CPU: a tenth of a CPU shows, and `densebench doctor` still answers at once
MOST_SWAP = 0.05  # of the swap space; less was put there long ago and nobody missed it


def warnings(placed: Placement) -> list[str]:
    """What would make timings unreliable now, one line each; looks at the machine for half a second."""
    cpus = placed.cpus
    return [
        *(*_busy(cpus), *_stolen(cpus), *_limits(len(placed.allowed)), *_clocks(cpus)),
        *(*_siblings(placed), *_memory()),
    ]


def room(needed_disk_mb: float, needed_memory_mb: float, folder: Path) -> list[str]:
    """What a run that needs so much would run out of, one line each; the folder need not exist yet."""
    import psutil

    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    disk_mb = psutil.disk_usage(str(there)).free / MB
    memory_mb = psutil.virtual_memory().available / MB
    limit_mb = container_memory_free_mb()
    said = []
    if needed_disk_mb > disk_mb:
        said.append(f"{disk_mb:,.0f} MB of disk free in {there}, about {needed_disk_mb:,.0f} MB needed")
    if needed_memory_mb > min(memory_mb, memory_mb if limit_mb is None else limit_mb):
        where = " in this container" if limit_mb is not None and limit_mb < memory_mb else ""
        free_mb = memory_mb if limit_mb is None else min(memory_mb, limit_mb)
        said.append(f"{free_mb:,.0f} MB of memory free{where}, about {needed_memory_mb:,.0f} MB needed")
    return said


def _busy(cpus: frozenset[int]) -> Iterator[str]:
    before = read_counters(cpus)
    time.sleep(SAMPLE_S)
    span = read_counters(cpus).since(before)
    others = others_cpus(span, len(cpus))
    if others - rounding_s(span, len(cpus), 1) / SAMPLE_S > MOST_OTHERS:
        load = os.getloadavg()[0]
        yield f"other processes take {others:.1f} of {len(cpus)} CPUs (load average {load:.1f})"


def _stolen(cpus: frozenset[int]) -> Iterator[str]:
    busy_s, stolen_s = cpu_s(cpus)
    if stolen_s > MOST_STOLEN * (busy_s + stolen_s):
        share = 100 * stolen_s / (busy_s + stolen_s)
        yield f"the host took {share:.0f} % of the CPU time wanted here since the machine started, for other guests"


def _limits(affinity: int) -> Iterator[str]:
    quota, host = container_cpus(), os.cpu_count() or affinity
    if quota is not None and quota < host:
        yield f"the container is limited to {quota:g} of {host} CPUs: others may run on the same CPUs"
    elif host > affinity:
        yield f"{affinity} of {host} CPUs may be used here: others may share their caches and clocks"


def _clocks(cpus: frozenset[int]) -> Iterator[str]:
    governors = {read(CPUS / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus} - {"", "performance"}
    for name in sorted(governors):
        yield f"CPU frequency governor is '{name}': clocks change under load"


def _siblings(placed: Placement) -> Iterator[str]:
    there = len(cores(placed.cpus))
    if placed.threads > there:
        there_are = f"{placed.threads} threads on {there} core{'s' * (there > 1)}"
        yield f"{there_are}: two threads of one core slow each other down"


def _memory() -> Iterator[str]:
    import psutil

    swap = psutil.swap_memory()
    if swap.used > MOST_SWAP * max(swap.total, 1):
        yield f"swap is in use: {swap.used / MB:,.0f} MB"
    if "[always]" in read(HUGE_PAGES):
        yield "transparent huge pages are 'always': which pages a process gets differs between processes"
