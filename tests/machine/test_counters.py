"""The kernel's counters, from files as it writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from densebench.machine import counters
from densebench.machine.counters import (
    Counters,
    container_memory_free_mb,
    cpu_s,
    own_s,
    read_counters,
    throttled_s,
)
from densebench.machine.facts import container_cpus
from tests.machine.kernel import JIFFIES, Kernel, kernel

__all__ = ["kernel"]


def test_only_the_cpus_that_are_asked_for_count(kernel: Kernel) -> None:
    """Busy and stolen time are summed over the allowed CPUs; idle, waiting and the machine's sum are left out."""
    kernel.cpus((0, 1.0, 0.1), (1, 2.0, 0.2), (5, 4.0, 0.4))
    assert cpu_s(frozenset({0, 5})) == pytest.approx((5.0, 0.5))


def test_every_kind_of_work_is_busy(kernel: Kernel) -> None:
    """User, nice, system and both kinds of interrupts; a guest's time is in user already."""
    kernel.write("stat", f"cpu0 {JIFFIES} {JIFFIES} {JIFFIES} 999 999 {JIFFIES} {JIFFIES} 0 {JIFFIES} 0")
    assert cpu_s(frozenset({0})) == pytest.approx((5.0, 0.0))


def test_an_old_kernel_has_no_stolen_time(kernel: Kernel) -> None:
    """A line that ends early counts zero for what it doesn't have."""
    kernel.write("stat", f"cpu0 {JIFFIES} 0 0 999")
    assert cpu_s(frozenset({0})) == pytest.approx((1.0, 0.0))


def test_nothing_to_read_is_nothing_counted(kernel: Kernel) -> None:
    """Without the files every counter stands still."""
    found = read_counters(frozenset({0, 1}))
    assert found == Counters(clock_s=found.clock_s, own_s=found.own_s)
    assert container_cpus() is None
    assert container_memory_free_mb() is None


def test_swapping_and_heat_are_counted(kernel: Kernel) -> None:
    """Pages in and out, and throttling events of the allowed CPUs."""
    kernel.write("vmstat", "nr_free 5\npswpin 30\npswpout 12\npswpin_odd 100")
    kernel.write("cpu/cpu0/thermal_throttle/core_throttle_count", 2)
    kernel.write("cpu/cpu0/thermal_throttle/package_throttle_count", 3)
    kernel.write("cpu/cpu7/thermal_throttle/core_throttle_count", 90)
    found = read_counters(frozenset({0}))
    assert (found.swapped_pages, found.hot) == (42, 5)


def test_the_clock_is_that_of_the_cpu_at_work(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In MHz, of the CPU that this runs on."""
    monkeypatch.setattr(psutil.Process, "cpu_num", lambda process: 3)
    kernel.write("cpu/cpufreq/boost", 1)
    kernel.write("cpu/cpu0/cpufreq/scaling_cur_freq", 800000)
    kernel.write("cpu/cpu3/cpufreq/scaling_cur_freq", 3100000)
    found = read_counters(frozenset({0, 3}))
    assert (found.clock_mhz, found.clock_cpu) == (3100.0, 3)


def test_the_containers_limits_are_found_in_version_2(kernel: Kernel) -> None:
    """The process's own group and those around it: the lowest limit holds, and time held back adds up."""
    kernel.write("cgroup", "0::/work/job")
    kernel.write("fs/work/job/cpu.max", "max 100000")
    kernel.write("fs/work/cpu.max", "150000 100000")
    kernel.write("fs/work/cpu.stat", "usage_usec 7\nnr_throttled 3\nthrottled_usec 250000")
    kernel.write("fs/cpu.stat", "usage_usec 70")
    kernel.write("fs/work/memory.max", 800_000_000)
    kernel.write("fs/work/memory.current", 500_000_000)
    kernel.write("fs/work/memory.stat", "anon 1\ninactive_file 100000000")
    assert container_cpus() == 1.5
    assert throttled_s() == 0.25
    assert container_memory_free_mb() == 400


def test_the_containers_limits_are_found_in_version_1(kernel: Kernel) -> None:
    """Inside a container the path is the host's, and only its root is there; no limit is written as a huge one."""
    kernel.write("cgroup", "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/")
    kernel.write("fs/cpu/cpu.cfs_quota_us", 200000)
    kernel.write("fs/cpu/cpu.cfs_period_us", 100000)
    kernel.write("fs/cpu/cpu.stat", "nr_throttled 2\nthrottled_time 500000000")
    kernel.write("fs/memory/memory.limit_in_bytes", 9223372036854771712)
    kernel.write("fs/memory/memory.usage_in_bytes", 5)
    assert container_cpus() == 2.0
    assert throttled_s() == 0.5
    assert container_memory_free_mb() is None
    kernel.write("fs/cpu/cpu.cfs_quota_us", -1)
    assert container_cpus() is None


def test_children_are_ones_own() -> None:
    """What a living child has used counts, and it still does after its end."""
    code = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('ready', flush=True)\nsys.stdin.read()"
    before = own_s()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        alive = own_s()
    assert alive - before >= 0.25
    assert own_s() - before >= 0.25


def test_this_machine_is_read() -> None:
    """The real files give numbers that don't go back."""
    if not Path("/proc/stat").exists():
        pytest.skip("not Linux")
    cpus = frozenset(os.sched_getaffinity(0))
    first, second = read_counters(cpus), read_counters(cpus)
    assert first.busy_s > 0
    for name in ("clock_s", "own_s", "busy_s", "stolen_s", "swapped_pages", "hot", "throttled_s"):
        assert getattr(second, name) >= getattr(first, name)
    assert counters.JIFFY_S > 0
