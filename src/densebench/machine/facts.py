"""Facts about this machine that need no deep-learning library."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")

MB = 1_000_000  # bytes; every figure in MB here is decimal

# glibc: freed memory stays with the process, so that the kernel need not map and clear fresh pages. On a virtual
# machine that is dear: a training step of DenseNet-121 at 224 pixels took 5.3 s without and 1.5 s with it.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

EMULATED = "emulated"
# For each format, flags of /proc/cpuinfo and the units that these tell of, the fastest first.
_UNITS = {
    "FP32": {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"},
    "BF16": {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX-512-BF16", "bf16": "ARM BF16"},
    "FP16": {"amx_fp16": "AMX-FP16", "avx512_fp16": "AVX-512-FP16", "asimdhp": "NEON-FP16"},
    "INT8": {
        "amx_int8": "AMX-INT8",
        "avx512_vnni": "AVX-512-VNNI",
        "avx_vnni": "AVX-VNNI",
        "i8mm": "ARM I8MM",
        "asimddp": "NEON dot product",
        "avx2": "AVX2 without VNNI",
    },
}
_SHORT = {"float16": "FP16", "bfloat16": "BF16"}

# Those of instructions that multiply INT8 and add up in 32 bits. x86 processors without them add pairs of products in
# 16 bits, which overflow.
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


@cache
def cpu_flags() -> frozenset[str]:
    """The processor's instruction-set flags; empty where the system doesn't tell."""
    return frozenset(_cpuinfo("flags", "Features").split())


def cpu_name() -> str:
    """The processor's name as it gives it."""
    return _cpuinfo("model name", "Model name", "Processor") or platform.processor() or platform.machine()


def _cpuinfo(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() in keys), "")


def emulated(dtype: str, device: str) -> str | None:
    """Why a 16-bit format is slow on this device: no instruction of the processor computes in it."""
    if device != "cpu" or units().get(_SHORT[dtype]) != EMULATED:
        return None
    return f"{_SHORT[dtype]} is emulated here"


def units() -> dict[str, str]:
    """Each format's fastest unit of this processor, such as `BF16: AMX-BF16`; empty where the flags are unknown."""
    flags = cpu_flags()
    return {
        format_: next((unit for flag, unit in own.items() if flag in flags), EMULATED)
        for format_, own in _UNITS.items()
        if flags
    }


def allowed_cpus() -> int:
    """How many CPUs this process may use: its affinity, and its container's limit where that is lower."""
    allowed = len(os.sched_getaffinity(0))
    limit = container_cpus()
    return allowed if limit is None else max(1, min(allowed, int(limit)))


def container_cpus() -> float | None:
    """How many CPUs the container's limits allow, fractions included; None without a limit."""
    limits = []
    for file in (*cgroup_files("cpu", "cpu.max"), *cgroup_files("cpu", "cpu.cfs_quota_us")):
        period = read(file.with_name("cpu.cfs_period_us")) if file.name != "cpu.max" else ""
        numbers = f"{read(file)} {period}".split()
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers) and int(numbers[1]):
            limits.append(int(numbers[0]) / int(numbers[1]))
    return min(limits, default=None)


def cgroup_files(controller: str, name: str) -> list[Path]:
    """Where a file stands in the process's control group and in every one around it, in version 2 or in version 1."""
    found = []
    for line in read(OWN_CGROUP).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one tree without names. Inside a container the path may be the host's, of which only the
        # root is there.
        root = CGROUPS / controller if controllers else CGROUPS
        folder = root / group.strip("/")
        inside = [folder, *folder.parents]
        found += [one / name for one in inside[: inside.index(root) + 1]]
    return [file for file in found if file.is_file()]


def read(file: Path) -> str:
    """The text, stripped; empty where it can't be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
