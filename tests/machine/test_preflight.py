"""What would spoil timings, told before any is taken."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from densebench.machine import counters
from densebench.machine import preflight as module
from densebench.machine.cpus import placement
from densebench.machine.preflight import room, warnings
from tests.machine.kernel import Kernel, kernel

__all__ = ["kernel"]


@pytest.fixture
def quiet(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with four CPUs that nothing disturbs."""
    ticks = iter([0.0, module.SAMPLE_S])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(counters.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(counters, "own_s", lambda: 0.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=0, total=100))
    kernel.cpus(*((cpu, 0, 0) for cpu in range(4)))
    return monkeypatch


def test_a_quiet_machine_has_no_warning(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """Nothing is said where nothing would spoil timings, a load average of the minute before included."""
    kernel.write("cpu/cpu0/cpufreq/scaling_governor", "performance")
    for cpu in range(4):
        kernel.write(f"cpu/cpu{cpu}/topology/thread_siblings_list", cpu)
    kernel.write("huge_pages", "always [madvise] never")
    assert warnings(placement()) == []


def test_other_processes_are_seen_at_work(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """What they use now is told, with the load average beside it."""
    quiet.setattr(module.time, "sleep", lambda seconds: kernel.cpus((0, seconds, 0), (1, seconds / 2, 0)))
    assert warnings(placement()) == ["other processes take 1.5 of 4 CPUs (load average 2.5)"]


def test_time_stolen_since_the_start_is_told(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """As a share of what was wanted; a hundredth is not worth a line."""
    kernel.cpus((0, 90, 10))
    assert warnings(placement()) == [
        "the host took 10 % of the CPU time wanted here since the machine started, for other guests"
    ]


def test_a_little_stolen_time_is_not_told(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """A hundredth is what a virtual machine has to live with."""
    kernel.cpus((0, 99, 1))
    assert warnings(placement()) == []


def test_a_containers_limit_is_told(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """How many CPUs and of how many, and that the others aren't idle for it."""
    kernel.write("cgroup", "0::/")
    kernel.write("fs/cpu.max", "200000 100000")
    (said,) = warnings(placement())
    assert said == "the container is limited to 2 of 4 CPUs: others may run on the same CPUs"


def test_an_affinity_is_told(quiet: pytest.MonkeyPatch) -> None:
    """CPUs that may not be used belong to somebody else."""
    quiet.setattr(os, "cpu_count", lambda: 8)
    assert warnings(placement()) == ["4 of 8 CPUs may be used here: others may share their caches and clocks"]


def test_clocks_siblings_swap_and_huge_pages_are_told(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """One line each."""
    for cpu in range(4):
        kernel.write(f"cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave")
        kernel.write(f"cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 2},{cpu % 2 + 2}")
    kernel.write("huge_pages", "[always] madvise never")
    quiet.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=50_000_000, total=100_000_000))
    assert warnings(placement(4)) == [
        "CPU frequency governor is 'powersave': clocks change under load",
        "4 threads on 2 cores: two threads of one core slow each other down",
        "swap is in use: 50 MB",
        "transparent huge pages are 'always': which pages a process gets differs between processes",
    ]


def test_siblings_are_told_only_where_threads_share_a_core(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """Not where there is a core for each thread, as there is by default."""
    kernel.sockets([(0, 2), (1, 3)])
    assert placement().threads == 2
    assert warnings(placement()) == []


def test_a_socket_that_the_run_leaves_out_is_no_affinity(quiet: pytest.MonkeyPatch, kernel: Kernel) -> None:
    """Who may use all CPUs isn't told that others share them, because the run stays on a part of them."""
    kernel.sockets([(0,), (1,)], [(2,), (3,)])
    placed = placement()
    quiet.setattr(os, "sched_getaffinity", lambda process: set(placed.cpus))
    assert placed.cpus == {0, 1}
    assert warnings(placed) == []


@pytest.fixture
def small(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """2,000 MB of disk and 1,000 MB of memory free."""
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=2_000_000_000))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000_000))
    return kernel


def test_room_is_asked_for_before_a_run(small: Kernel, tmp_path: Path) -> None:
    """What is short is told with what is there and what is needed, in a folder that need not exist yet."""
    folder = tmp_path / "not" / "yet"
    assert room(2000, 1000, folder) == []
    assert room(2001, 1001, folder) == [
        f"2,000 MB of disk free in {tmp_path}, about 2,001 MB needed",
        "1,000 MB of memory free, about 1,001 MB needed",
    ]


def test_a_containers_memory_is_what_counts(small: Kernel, tmp_path: Path) -> None:
    """A limit below what the machine has free."""
    small.write("cgroup", "0::/")
    small.write("fs/memory.max", 600_000_000)
    small.write("fs/memory.current", 200_000_000)
    assert room(0, 400, tmp_path) == []
    assert room(0, 500, tmp_path) == ["400 MB of memory free in this container, about 500 MB needed"]


def test_this_machine_has_room_for_nothing() -> None:
    """The real disk and memory hold no bytes easily, and a petabyte not at all."""
    assert room(0, 0, Path()) == []
    assert len(room(1e12, 1e12, Path())) == 2
