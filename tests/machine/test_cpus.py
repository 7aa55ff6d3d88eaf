"""The default number of threads, from the kernel's files on CPUs.

What the files hold is documented in Documentation/ABI/stable/sysfs-devices-system-cpu of the kernel's sources.
"""

from __future__ import annotations

import pytest

from densebench.machine.cpus import Placement, by_core, cores, described, kept_on, listed, placement
from tests.machine.kernel import Affinity, Kernel, affinity, kernel

__all__ = ["affinity", "kernel"]

FAR = "since memory of another socket is slower"
SLOWEST = "since a parallel step waits for its slowest thread"
FIRST, SECOND = {*range(4), *range(8, 12)}, {*range(4, 8), *range(12, 16)}


def limit(kernel: Kernel, cpus: float) -> None:
    """The container may use so many CPUs."""
    kernel.write("cgroup", "0::/")
    kernel.write("fs/cpu.max", f"{cpus * 100_000:.0f} 100000")


def test_one_thread_a_core_of_one_socket(kernel: Kernel, affinity: Affinity) -> None:
    """Of two sockets with two CPUs a core the first has one thread a core, on any of its CPUs."""
    kernel.two_sockets()
    assert placement() == Placement(
        threads=4,
        cpus=frozenset(FIRST),
        allowed=frozenset(range(16)),
        reason=f"4 threads, one on each core of socket 0; socket 1 is left out, {FAR}",
    )


@pytest.mark.parametrize(
    ("quota", "threads", "reason"),
    [
        (3.5, 3, "3 threads on socket 0: the container may use 3.5 CPUs; socket 1 is left out"),
        (1, 1, "1 thread on socket 0: the container may use 1 CPU; socket 1 is left out"),
        (0.5, 1, "1 thread on socket 0: the container may use 0.5 CPUs; socket 1 is left out"),
        (4, 4, "4 threads, one on each core of socket 0; socket 1 is left out"),
        (12, 4, "4 threads, one on each core of socket 0; socket 1 is left out"),
    ],
)
def test_a_containers_limit_lowers_the_threads(
    kernel: Kernel, affinity: Affinity, quota: float, threads: int, reason: str
) -> None:
    """To whole CPUs and at least one; they stay on one socket all the same."""
    kernel.two_sockets()
    limit(kernel, quota)
    placed = placement()
    assert (placed.threads, placed.cpus) == (threads, FIRST)
    assert placed.reason == f"{reason}, {FAR}"


def test_a_limit_alone_is_the_reason(kernel: Kernel, affinity: Affinity) -> None:
    """On a machine with one socket."""
    limit(kernel, 3.5)
    assert placement().reason == "3 threads: the container may use 3.5 CPUs"


def test_the_socket_with_most_cores_that_may_be_used(kernel: Kernel, affinity: Affinity) -> None:
    """Cores count, not CPUs; of two that are equal it is the first."""
    kernel.two_sockets()
    affinity.now = {0, 1, 8, 9, 4, 5, 6, 12}
    placed = placement()
    assert (placed.threads, placed.cpus) == (3, {4, 5, 6, 12})
    assert placed.reason == f"3 threads, one on each core of socket 1; socket 0 is left out, {FAR}"
    affinity.now = {0, 1, 4, 5, 12, 13}
    assert placement().cpus == {0, 1}


def test_an_affinity_within_a_socket_leaves_none_out(kernel: Kernel, affinity: Affinity) -> None:
    """CPUs of one core are one thread."""
    kernel.two_sockets()
    affinity.now = {4, 5, 12, 13}
    placed = placement()
    assert (placed.threads, placed.cpus) == (2, affinity.now)
    assert placed.reason == (
        "2 threads: one on each of the 2 cores that this process may use, since two threads of one core slow each "
        "other down"
    )
    affinity.now = {4, 12}
    assert placement().reason == "1 thread: this process may use 1 core"


def test_sockets_of_one_memory_are_one(kernel: Kernel, affinity: Affinity) -> None:
    """A virtual machine may have a socket for each CPU, all in one NUMA node, or in two."""
    kernel.sockets(*([[cpu]] for cpu in range(16)))
    for node in range(1, 16):
        kernel.write(f"node/node{node}/cpulist", "")
    kernel.write("node/node0/cpulist", "0-15")
    assert placement().reason == "16 threads: one on each of the 16 cores that this process may use"
    kernel.write("node/node0/cpulist", "0-1,4-15")
    kernel.write("node/node1/cpulist", "2-3")
    placed = placement()
    assert (placed.threads, placed.cpus) == (14, {*range(16)} - {2, 3})
    assert placed.reason.endswith(f"; sockets 2 and 3 are left out, {FAR}")


def test_a_socket_with_several_nodes_is_one(kernel: Kernel, affinity: Affinity) -> None:
    """As processors that are set up so have it: their cores are together nevertheless."""
    kernel.two_sockets()
    for node, cpus in enumerate(("0-1,8-9", "2-3,10-11", "4-5,12-13", "6-7,14-15")):
        kernel.write(f"node/node{node}/cpulist", cpus)
    assert placement().threads == 4
    assert placement().cpus == FIRST


@pytest.fixture
def hybrid(kernel: Kernel, affinity: Affinity) -> Kernel:
    """Four performance cores with two CPUs each, eight efficiency cores with one each: 0-7 and 8-15."""
    pairs = [(cpu, cpu + 1) for cpu in range(0, 8, 2)]
    kernel.sockets([*pairs, *((cpu,) for cpu in range(8, 16))])
    kernel.write("cpu_core/cpus", "0-7")
    kernel.write("cpu_atom/cpus", "8-15")
    return kernel


def test_performance_cores_alone(hybrid: Kernel, affinity: Affinity) -> None:
    """Of an Intel processor with two kinds; others may go on using the efficiency cores."""
    placed = placement()
    assert (placed.threads, placed.cpus) == (4, affinity.now)
    assert placed.reason == (
        f"4 threads, one on each performance core; 8 efficiency cores are left out, {SLOWEST}"
    )


def test_efficiency_cores_where_there_are_no_others(hybrid: Kernel, affinity: Affinity) -> None:
    """Where the affinity allows no performance core."""
    affinity.now = {8, 9, 10}
    assert placement().reason == "3 threads: one on each of the 3 cores that this process may use"


@pytest.mark.parametrize(
    ("capacities", "threads"),
    [((446,) * 4 + (1024,) * 4, 4), ((250,) * 4 + (830,) * 3 + (1024,), 4), ((1024,) * 8, 8)],
    ids=["two kinds", "three kinds", "one kind"],
)
def test_performance_cores_by_capacity(
    kernel: Kernel, affinity: Affinity, capacities: tuple[int, ...], threads: int
) -> None:
    """As ARM tells them. Older kernels take each cluster of cores for a package: that leaves no CPU out."""
    affinity.now = {*range(8)}
    for cpu, capacity in enumerate(capacities):
        kernel.write(f"cpu/cpu{cpu}/cpu_capacity", capacity)
        kernel.write(f"cpu/cpu{cpu}/topology/physical_package_id", cpu // 4)
        kernel.write(f"cpu/cpu{cpu}/topology/thread_siblings_list", cpu)
    assert (placement().threads, placement().cpus) == (threads, affinity.now)


@pytest.mark.parametrize("package", [None, "-1"])
def test_without_the_kernels_files_each_cpu_is_a_core(
    kernel: Kernel, affinity: Affinity, package: str | None
) -> None:
    """On one socket, which a kernel that knows none calls -1."""
    affinity.now = {0, 3}
    for cpu in affinity.now if package else ():
        kernel.write(f"cpu/cpu{cpu}/topology/physical_package_id", package)
    placed = placement()
    assert (placed.threads, placed.cpus) == (2, {0, 3})
    assert placed.reason == "2 threads: one on each of the 2 cores that this process may use"
    assert not placed.note


def test_a_number_that_was_asked_for_leaves_nothing_out(kernel: Kernel, affinity: Affinity) -> None:
    """Whatever the machine is."""
    kernel.two_sockets()
    placed = placement(3)
    assert (placed.threads, placed.cpus, placed.note) == (3, affinity.now, "")


def test_the_cpus_are_described(kernel: Kernel, affinity: Affinity, hybrid: Kernel) -> None:
    """Cores, their kinds, hyper-threading, sockets and NUMA nodes, as far as they may be used."""
    assert described(cores(frozenset(range(16)))) == (
        "16 CPUs on 12 cores (4 performance, 8 efficiency) with hyper-threading (SMT), 1 socket; "
        "NUMA node 0: CPUs 0-15"
    )
    (kernel.folder / "cpu_atom" / "cpus").unlink()
    kernel.two_sockets()
    assert described(cores(frozenset({0, 1, 2, 5, 7}))) == (
        "5 CPUs on 5 cores, 2 sockets; NUMA node 0: CPUs 0-2, node 1: CPUs 5,7"
    )


def test_threads_get_cores_before_second_cpus_of_cores(hybrid: Kernel) -> None:
    """Two threads of one core come last."""
    assert by_core(frozenset(range(10))) == [0, 2, 4, 6, 8, 9, 1, 3, 5, 7]


def test_lists_are_the_kernels(kernel: Kernel) -> None:
    """As `core_cpus_list` has them."""
    assert listed([3, 0, 1, 2, 8, 10, 11]) == "0-3,8,10-11"
    assert listed([]) == ""


def test_an_affinity_is_given_back(affinity: Affinity) -> None:
    """After an error too; where nothing is left out nothing is set."""

    def fail() -> None:
        with kept_on(frozenset({1, 2})):
            assert affinity.now == {1, 2}
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert affinity.now == {*range(16)}
    assert len(affinity.before) == 2
    with kept_on(frozenset(range(16))):
        assert len(affinity.before) == 2
