"""Facts about this machine that need no deep-learning library."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

MB = 1_000_000  # bytes; every figure in MB here is decimal

# glibc: freed memory stays with the process, so that the kernel need not map and clear fresh pages. On a virtual
# machine that is dear: a training step of DenseNet-121 at 224 pixels took 5.3 s without and 1.5 s with it.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

# The instruction-set flags of /proc/cpuinfo, any one of which means that a CPU computes in a format.
_NATIVE = {
    "float16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
}


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
    if device != "cpu" or not cpu_flags() or cpu_flags() & _NATIVE[dtype]:
        return None
    return f"{'FP16' if dtype == 'float16' else 'BF16'} is emulated here"


def allowed_threads() -> int:
    """CPUs that this process may use: its affinity, and its container's limit where that is lower."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))
