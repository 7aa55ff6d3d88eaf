"""Facts about the machine, read from files that a test can write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from densebench.machine import facts
from densebench.machine.cpus import placement
from tests.machine.kernel import Kernel, kernel

__all__ = ["kernel"]

X86 = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimdhp\n"


@pytest.fixture(autouse=True)
def forget() -> object:
    """The flags are read once per process; not so in here."""
    facts.cpu_flags.cache_clear()
    yield
    facts.cpu_flags.cache_clear()


def files(monkeypatch: pytest.MonkeyPatch, content: dict[str, str]) -> None:
    """Only these files can be read."""

    def read_text(path: Path, **_: object) -> str:
        if str(path) not in content:
            raise FileNotFoundError(str(path))
        return content[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)


def test_the_processor_is_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name and flags are those of /proc/cpuinfo, on x86 as on ARM."""
    files(monkeypatch, {"/proc/cpuinfo": X86})
    assert facts.cpu_name() == "Some CPU @ 2.00GHz"
    assert facts.cpu_flags() == {"fpu", "avx2", "avx512f", "avx512_bf16"}
    facts.cpu_flags.cache_clear()
    files(monkeypatch, {"/proc/cpuinfo": ARM})
    assert facts.cpu_flags() == {"fp", "asimd", "asimdhp"}


def test_a_system_that_tells_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc/cpuinfo there are no flags, some name, and nothing is called emulated."""
    files(monkeypatch, {})
    assert facts.cpu_flags() == frozenset()
    assert facts.cpu_name()
    assert facts.emulated("float16", "cpu") is None


@pytest.mark.parametrize(
    ("cpuinfo", "float16", "bfloat16"),
    [
        (X86, "FP16 is emulated here", None),
        (ARM, None, "BF16 is emulated here"),
        ("flags : avx2\n", "FP16 is emulated here", "BF16 is emulated here"),
        ("flags : amx_bf16 avx512_fp16\n", None, None),
    ],
)
def test_formats_without_instructions_are_emulated(
    monkeypatch: pytest.MonkeyPatch, cpuinfo: str, float16: str | None, bfloat16: str | None
) -> None:
    """A 16-bit format is slow on a CPU that has no instruction for it, and never called so on a GPU."""
    files(monkeypatch, {"/proc/cpuinfo": cpuinfo})
    assert facts.emulated("float16", "cpu") == float16
    assert facts.emulated("bfloat16", "cpu") == bfloat16
    assert facts.emulated("float16", "cuda") is None


@pytest.mark.parametrize(
    ("cpuinfo", "units"),
    [
        (X86, "AVX-512, AVX-512-BF16, emulated, AVX2 without VNNI"),
        ("flags : avx2 avx512f avx512_vnni avx512_bf16", "AVX-512, AVX-512-BF16, emulated, AVX-512-VNNI"),
        (
            "flags : avx2 avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8",
            "AVX-512, AMX-BF16, AVX-512-FP16, AMX-INT8",
        ),
        ("flags : avx avx2 avx_vnni", "AVX2, emulated, emulated, AVX-VNNI"),
        ("Features : fp asimd asimdhp asimddp i8mm bf16", "NEON, ARM BF16, NEON-FP16, ARM I8MM"),
    ],
    ids=["Cooper Lake", "Zen 4", "Sapphire Rapids", "Alder Lake", "Neoverse N2"],
)
def test_each_format_has_the_fastest_unit(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, units: str) -> None:
    """FP32, BF16, FP16 and INT8, by the processor's flags."""
    files(monkeypatch, {"/proc/cpuinfo": cpuinfo})
    assert dict(zip(("FP32", "BF16", "FP16", "INT8"), units.split(", "), strict=True)) == facts.units()


@pytest.fixture
def eight(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Eight CPUs, in a container that may have a limit."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    return kernel


@pytest.mark.parametrize(
    ("limit", "threads"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("odd", 8),
    ],
)
def test_cpus_are_what_affinity_and_container_allow(eight: Kernel, limit: str, threads: int) -> None:
    """The lower of affinity and the container's quota, whole CPUs, at least one."""
    eight.write("cgroup", "0::/")
    eight.write("fs/cpu.max", limit)
    assert facts.allowed_cpus() == placement().threads == threads


def test_threads_follow_the_tightest_of_nested_limits(eight: Kernel) -> None:
    """A limit of a group further out holds as well, in version 2 and in version 1."""
    eight.write("cgroup", "0::/pod/container")
    eight.write("fs/pod/cpu.max", "300000 100000")
    eight.write("fs/pod/container/cpu.max", "max 100000")
    assert placement().threads == 3
    eight.write("cgroup", "3:cpu,cpuacct:/docker/abc\n0::/pod/container")
    eight.write("fs/cpu/cpu.cfs_quota_us", 200000)
    eight.write("fs/cpu/cpu.cfs_period_us", 100000)
    assert placement().threads == 2


def test_threads_without_a_container_are_the_affinity(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No limit file is no limit."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5})
    assert placement().threads == 3
