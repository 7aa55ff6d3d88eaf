"""How fast memory is copied: bytes read and bytes written, as STREAM counts them, in arrays that no cache holds.

What the processor reads of a line before it writes to it isn't counted. Source: McCalpin, "Memory Bandwidth and
Machine Balance in Current High Performance Computers", 1995; its rule is arrays of four times the last cache.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from densebench.measure.device import Device

COPIES = 6
PART = 8 << 20  # numbers that are timed together: few enough for some to go undisturbed on a busy machine
OVER_CACHE = 4
LEAST_BYTES = 256 << 20  # also more than four times the cache of today's GPUs
CPUS = Path("/sys/devices/system/cpu")


def copy_gb_per_s(clock: Device) -> float:
    """1e9 bytes a second in PyTorch's fastest copy, on the threads that it is set to."""
    import psutil

    wanted = max(LEAST_BYTES, OVER_CACHE * last_cache_bytes())
    size = min(wanted, psutil.virtual_memory().available // 8)
    source = torch.ones(size // 4, device=clock.name)  # float32; not zeros, which may all be one page
    target = torch.ones_like(source)
    # Nothing interrupts a GPU, and there a part takes no longer than starting it.
    count = max(1, source.numel() // PART) if clock.name == "cpu" else 1
    parts = list(zip(target.chunk(count), source.chunk(count), strict=True))
    best = max(
        2 * to.nbytes / clock.time_ms(partial(to.copy_, part)) for _ in range(COPIES) for to, part in parts
    )
    return best / 1e6


def last_cache_bytes(cpus: Path = CPUS) -> int:
    """All last-level caches together; 0 where the system doesn't tell."""
    sizes: dict[int, dict[str, int]] = {}
    for folder in cpus.glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            level, shared, size = (
                (folder / name).read_text(encoding="ascii").strip()
                for name in ("level", "shared_cpu_list", "size")
            )
            sizes.setdefault(int(level), {})[shared] = int(size.removesuffix("K")) << 10
        except (OSError, ValueError):
            continue
    return sum(sizes[max(sizes)].values()) if sizes else 0
