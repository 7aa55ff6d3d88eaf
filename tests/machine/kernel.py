"""Files as the kernel keeps them, in a folder of the test's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from densebench.machine import counters, cpus, facts, preflight
from densebench.machine.cpus import listed

JIFFIES = round(1 / counters.JIFFY_S)  # in a second


class Kernel:
    """A machine whose counters the test moves; at first none of its files is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: object) -> None:
        """Put a file, by its path below the folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="ascii")

    def cpus(self, *lines: tuple[int, float, float]) -> None:
        """Number, busy and stolen seconds of each CPU, as /proc/stat has them."""
        rows = ["cpu  9 9 9 9 9 9 9 9 0 0"]
        rows += [
            f"cpu{number} {busy * JIFFIES:.0f} 0 0 777777 55 0 0 {stolen * JIFFIES:.0f} 0 0"
            for number, busy, stolen in lines
        ]
        self.write("stat", "\n".join([*rows, "intr 5 5 5"]))

    def sockets(self, *sockets: Sequence[Sequence[int]]) -> None:
        """Packages, each with its cores and these with their CPUs; each package is a NUMA node."""
        for number, cores in enumerate(sockets):
            for core in cores:
                for cpu in core:
                    self.write(f"cpu/cpu{cpu}/topology/core_cpus_list", listed(core))
                    self.write(f"cpu/cpu{cpu}/topology/physical_package_id", number)
            self.write(f"node/node{number}/cpulist", listed(cpu for core in cores for cpu in core))

    def two_sockets(self) -> None:
        """Four cores each, with two CPUs a core: 0 and 8 are the first core, 4 and 12 the first of the second."""
        first, second = ([(cpu, cpu + 8) for cpu in range(start, start + 4)] for start in (0, 4))
        self.sockets(first, second)


class Affinity:
    """Which CPUs the process may use, and what it was before."""

    def __init__(self, cpus: Iterable[int]) -> None:
        self.now = set(cpus)
        self.before: list[set[int]] = []

    def move(self, cpus: Iterable[int]) -> None:
        """As the system call does."""
        self.before.append(self.now)
        self.now = set(cpus)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The files that every reading comes from."""
    for name, path in {"STAT": "stat", "VMSTAT": "vmstat", "CPUS": "cpu"}.items():
        monkeypatch.setattr(counters, name, tmp_path / path)
    for name, path in {"OWN_CGROUP": "cgroup", "CGROUPS": "fs"}.items():
        monkeypatch.setattr(facts, name, tmp_path / path)
    for name, path in {"CPUS": "cpu", "NODES": "node", "KINDS": ""}.items():
        monkeypatch.setattr(cpus, name, tmp_path / path)
    monkeypatch.setattr(preflight, "CPUS", tmp_path / "cpu")
    monkeypatch.setattr(preflight, "HUGE_PAGES", tmp_path / "huge_pages")
    return Kernel(tmp_path)


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> Affinity:
    """Sixteen CPUs that may be used, until the test or the code sets others."""
    kept = Affinity(range(16))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(kept.now))
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: kept.move(cpus))
    return kept


@pytest.fixture
def frozen(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Two CPUs, a slice of 10 s in which this process did nothing."""
    ticks = iter([0.0, 10.0])
    monkeypatch.setattr(counters.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(counters, "own_s", lambda: 0.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    kernel.cpus((0, 0, 0), (1, 0, 0))
    return kernel
