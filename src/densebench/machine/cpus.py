"""Which CPUs this process may use, how these form cores and sockets, and how many threads a run has by default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from densebench.machine.facts import container_cpus, read
from densebench.text import joined

# variables of a measuring process
THREADS = "OMP_NUM_THREADS"  # how many threads an inference runs on
INSTANCES = "DENSEBENCH_INSTANCES"  # in how many processes an artifact answers at once

CPUS = Path("/sys/devices/system/cpu")
NODES = Path("/sys/devices/system/node")
KINDS = Path("/sys/devices")  # has `cpu_core` and `cpu_atom` on Intel's hybrid processors

# Of the largest capacity. A processor's big cores differ by less; its small ones have about half of it or less.
FAST = 0.75


@dataclass(frozen=True)
class Core:
    """A physical core, as far as this process may use it.

    Attributes:
        cpus: its CPUs that may be used, two or more with simultaneous multithreading (SMT).
        socket: the processor package, by the kernel's number.
        node: the NUMA node, whose memory is nearest.
        fast: whether it is a performance core, as all cores of a processor with one kind are.

    """

    cpus: frozenset[int]
    socket: int = 0
    node: int = 0
    fast: bool = True


@dataclass(frozen=True)
class Placement:
    """How many threads a run has, and on which CPUs.

    Attributes:
        cpus: the CPUs that the threads stay on.
        allowed: the CPUs that the process might use when this was decided.
        reason: why so many threads, in plain English; empty if the user named their number.

    """

    threads: int
    cpus: frozenset[int]
    allowed: frozenset[int]
    reason: str = ""

    @property
    def note(self) -> str:
        """The reason, where CPUs that might be used are left out; else nothing."""
        return self.reason if self.threads < len(self.allowed) else ""


def placement(threads: int | None = None) -> Placement:
    """The number of threads that was asked for on all CPUs; by default one on each core of one socket.

    A container's limit lowers the default. On a hybrid processor only performance cores count, unless none may be
    used.
    """
    allowed = frozenset(os.sched_getaffinity(0))
    if threads is not None:
        return Placement(threads, allowed, allowed)
    every = cores(allowed)
    fast = [core for core in every if core.fast]
    slow = len(every) - len(fast)
    near, far = _nearest(fast)
    quota = container_cpus()
    default = len(near) if quota is None else max(1, min(len(near), int(quota)))
    limit = quota if default < len(near) else None
    others = frozenset[int]().union(*(core.cpus for core in far))
    return Placement(default, allowed - others, allowed, _reason(default, near, far, slow, limit))


@contextmanager
def kept_on(cpus: frozenset[int]) -> Iterator[None]:
    """Keep this thread, and what threads and processes it starts meanwhile, on these CPUs."""
    before = os.sched_getaffinity(0)
    if cpus == before:
        yield
        return
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores(allowed: frozenset[int]) -> list[Core]:
    """The cores that these CPUs are of, by their first CPU.

    Without the kernel's files each CPU is a core of its own, and all are on one socket.
    """
    node_of = {
        cpu: int(folder.name.removeprefix("node"))
        for folder in NODES.glob("node[0-9]*")
        for cpu in _numbers(read(folder / "cpulist"))
    }
    fast = _fast(allowed)
    found: dict[int, Core] = {}
    for cpu in sorted(allowed):
        topology = CPUS / f"cpu{cpu}" / "topology"
        siblings = _numbers(read(topology / "core_cpus_list") or read(topology / "thread_siblings_list"))
        own = (siblings & allowed) | {cpu}
        socket = _number(topology / "physical_package_id")
        found.setdefault(min(own), Core(own, max(0, socket), node_of.get(cpu, 0), cpu in fast))
    return list(found.values())


def described(every: Sequence[Core]) -> str:
    """`96 CPUs on 48 cores with hyper-threading (SMT), 2 sockets; NUMA node 0: CPUs 0-23,48-71, node 1: ...`."""
    cpus, sockets = sum(len(core.cpus) for core in every), len({core.socket for core in every})
    smt = " with hyper-threading (SMT)" if cpus > len(every) else ""
    slow = sum(not core.fast for core in every)
    kinds = f" ({len(every) - slow} performance, {slow} efficiency)" if slow else ""
    where = ", ".join(f"node {node}: CPUs {listed(own)}" for node, own in nodes(every).items())
    on = f"{_count(len(every), 'core')}{kinds}{smt}, {_count(sockets, 'socket')}"
    return f"{_count(cpus, 'CPU')} on {on}; NUMA {where}"


def by_core(cpus: frozenset[int]) -> list[int]:
    """The order in which threads should get these CPUs: the first of each core, then the second of each."""
    ranked = [
        (rank, not core.fast, cpu) for core in cores(cpus) for rank, cpu in enumerate(sorted(core.cpus))
    ]
    return [cpu for _, _, cpu in sorted(ranked)]


def nodes(every: Sequence[Core]) -> dict[int, frozenset[int]]:
    """The CPUs of each NUMA node."""
    return {
        node: frozenset[int]().union(*(core.cpus for core in every if core.node == node))
        for node in sorted({core.node for core in every})
    }


def listed(cpus: Iterable[int]) -> str:
    """CPUs as the kernel lists them: `0-3,8`."""
    runs = groupby(enumerate(sorted(cpus)), key=lambda pair: pair[1] - pair[0])
    spans = ([cpu for _, cpu in run] for _, run in runs)
    return ",".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else f"{span[0]}" for span in spans)


def _nearest(every: Sequence[Core]) -> tuple[list[Core], list[Core]]:
    """The cores of the socket that has most of them, of several the first; and the cores of all other sockets.

    Sockets of one NUMA node count as one, since their memory is equally near: many virtual machines have a socket
    for each CPU.
    """
    first: dict[int, int] = {}  # of each node's sockets
    for core in every:
        first[core.node] = min(first.get(core.node, core.socket), core.socket)
    groups: dict[int, list[Core]] = {}
    for core in sorted(every, key=lambda core: first[core.node]):
        groups.setdefault(first[core.node], []).append(core)
    near = max(groups.values(), key=len)
    return near, [core for group in groups.values() if group is not near for core in group]


def _reason(threads: int, near: Sequence[Core], far: Sequence[Core], slow: int, quota: float | None) -> str:
    """Why so many threads: what they run on, and what is left out for which reason."""
    count = _count(threads, "thread")
    left = []
    if far:
        verb = "is" if len({core.socket for core in far}) == 1 else "are"
        left.append(f"; {_sockets(far)} {verb} left out, since memory of another socket is slower")
    if quota is not None:
        on = f" on {_sockets(near)}" if far else ""
        said = f"{count}{on}: the container may use {quota:g} CPU{'' if quota == 1 else 's'}"
    elif slow:
        on = f" of {_sockets(near)}" if far else ""
        said = f"{count}, one on each performance core{on}"
        verb = "is" if slow == 1 else "are"
        why = "since a parallel step waits for its slowest thread"
        left.append(f"; {_count(slow, 'efficiency core')} {verb} left out, {why}")
    elif far:
        said = f"{count}, one on each core of {_sockets(near)}"
    elif len(near) == 1:
        said = f"{count}: this process may use 1 core"
    else:
        said = f"{count}: one on each of the {len(near)} cores that this process may use"
    if quota is None and not left and 1 < len(near) < sum(len(core.cpus) for core in near):
        left.append(", since two threads of one core slow each other down")
    return said + "".join(left)


def _sockets(every: Sequence[Core]) -> str:
    numbers = sorted({core.socket for core in every})
    return f"socket{'s' * (len(numbers) > 1)} {joined([str(number) for number in numbers])}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _fast(allowed: frozenset[int]) -> frozenset[int]:
    """Those CPUs that are of performance cores; all where the kernel tells of no kinds, or of these none is one."""
    if read(KINDS / "cpu_atom" / "cpus"):
        return _numbers(read(KINDS / "cpu_core" / "cpus")) & allowed or allowed
    capacity = {cpu: _number(CPUS / f"cpu{cpu}" / "cpu_capacity") for cpu in allowed}
    most = max(capacity.values())
    return frozenset(cpu for cpu in allowed if capacity[cpu] >= FAST * most)


def _numbers(text: str) -> frozenset[int]:
    """The numbers of a list such as `0-3,8`."""
    spans = re.findall(r"(\d+)(?:-(\d+))?", text)
    return frozenset(cpu for low, high in spans for cpu in range(int(low), int(high or low) + 1))


def _number(file: Path) -> int:
    text = read(file)
    return int(text) if text.removeprefix("-").isdecimal() else 0
