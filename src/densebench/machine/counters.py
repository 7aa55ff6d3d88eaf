"""What the kernel has counted so far: CPU time, stolen time, swapping, throttling. A missing file counts none."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from densebench.machine.facts import MB, cgroup_files, read

STAT = Path("/proc/stat")
VMSTAT = Path("/proc/vmstat")
CPUS = Path("/sys/devices/system/cpu")

_SWAPPED = re.compile(r"^pswp(?:in|out) (\d+)$", re.MULTILINE)
_NO_LIMIT = 1 << 60  # version 1 writes the largest multiple of a page for no limit

JIFFY_S = 1 / os.sysconf("SC_CLK_TCK")  # the grain of /proc/stat


@dataclass(frozen=True)
class Counters:
    """One reading, to be compared with a later one. Times are in seconds, summed over the CPUs allowed here."""

    clock_s: float = 0.0
    own_s: float = 0.0  # CPU time of this process, its threads and its children
    busy_s: float = 0.0  # CPU time of everybody, interrupts included
    stolen_s: float = 0.0  # wanted here, and given to another guest by the host
    swapped_pages: int = 0
    hot: int = 0  # times that a CPU or its package slowed down because it was too warm
    throttled_s: float = 0.0  # held back by the container's CPU limit
    clock_mhz: float | None = None  # of the CPU that this runs on
    clock_cpu: int | None = None  # which one: others may have other clocks

    def since(self, before: Counters) -> Counters:
        """What was counted since an earlier reading; the clock is the later one's."""
        spent = {name: getattr(self, name) - getattr(before, name) for name in COUNTED}
        return replace(self, **spent)


COUNTED = [each.name for each in fields(Counters) if each.name not in ("clock_mhz", "clock_cpu")]


def added(spans: Iterable[Counters]) -> Counters:
    """What was counted in several spans; clocks have no sum."""
    every = list(spans)
    return Counters(**{name: sum(getattr(span, name) for span in every) for name in COUNTED})


def read_counters(cpus: frozenset[int]) -> Counters:
    """Every counter now, of these CPUs where it is kept by CPU."""
    used_s = own_s()  # next to what it is subtracted from, so that nothing comes between
    busy_s, stolen_s = cpu_s(cpus)
    clock_mhz, clock_cpu = _clock()
    return Counters(
        clock_s=time.perf_counter(),
        own_s=used_s,
        busy_s=busy_s,
        stolen_s=stolen_s,
        swapped_pages=sum(map(int, _SWAPPED.findall(read(VMSTAT)))),
        hot=_hot(cpus),
        throttled_s=throttled_s(),
        clock_mhz=clock_mhz,
        clock_cpu=clock_cpu,
    )


def cpu_s(cpus: frozenset[int]) -> tuple[float, float]:
    """Busy and stolen seconds of these CPUs since the machine started.

    `psutil.cpu_times(percpu=True)` tells the same without the CPUs' numbers, which an offline CPU shifts.
    """
    busy = stolen = 0
    for line in read(STAT).splitlines():
        name, *counts = line.split()
        if not name.startswith("cpu"):
            break
        if name[3:].isdecimal() and int(name[3:]) in cpus:
            user, nice, system, _idle, _wait, irq, soft, steal = (
                int(count) for count in (*counts, *"0000")[:8]
            )
            busy += user + nice + system + irq + soft
            stolen += steal
    return busy * JIFFY_S, stolen * JIFFY_S


def own_s() -> float:
    """CPU seconds of this process, its threads and its children, both those alive and those waited for."""
    import psutil

    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))
    for child in _descendants(os.getpid()):
        try:
            times = psutil.Process(child).cpu_times()
        except psutil.Error:
            continue  # it ended between the two looks
        used += times.user + times.system + times.children_user + times.children_system
    return used


def _descendants(pid: int) -> Iterator[int]:
    """Living children, and theirs: from the kernel's own lists, as psutil looks at every process there is."""
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, read(listing).split()):
            yield child
            yield from _descendants(child)


def _hot(cpus: frozenset[int]) -> int:
    files = (
        CPUS / f"cpu{cpu}/thermal_throttle/{part}_throttle_count"
        for cpu in cpus
        for part in ("core", "package")
    )
    return sum(int(read(file) or 0) for file in files)


def _clock() -> tuple[float | None, int | None]:
    """The clock in MHz of the CPU that runs this thread, as it alone is sure to be at work now; and which that is."""
    import psutil

    if not (CPUS / "cpufreq").is_dir():
        return None, None
    cpu = psutil.Process().cpu_num()
    khz = read(CPUS / f"cpu{cpu}/cpufreq/scaling_cur_freq")
    return int(khz) / 1000 if khz else None, cpu


def throttled_s() -> float:
    """Seconds, summed over CPUs, for which a limit of this container or of one around it stopped work."""
    tables = [_table(file) for file in cgroup_files("cpu", "cpu.stat")]
    return sum(
        table.get("throttled_usec", 0) / 1e6 + table.get("throttled_time", 0) / 1e9 for table in tables
    )


def container_memory_free_mb() -> float | None:
    """What the container's limits leave of memory, in MB, files kept in memory not counted; None without a limit."""
    names = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    left = []
    for limit, usage, files in names:
        for file in cgroup_files("memory", limit):
            most, used = read(file), read(file.with_name(usage))
            if most.isdecimal() and used.isdecimal() and int(most) < _NO_LIMIT:
                given_back = _table(file.with_name("memory.stat")).get(files, 0)
                left.append((int(most) - int(used) + given_back) / MB)
    return min(left, default=None)


def _table(file: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    pairs = (line.split() for line in read(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
