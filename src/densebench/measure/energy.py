"""Energy in joules, from counters that the hardware keeps: RAPL's for the processor, NVML's for the GPU."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from densebench.machine.facts import read
from densebench.machine.nvml import Gpu, open_gpu
from densebench.results.header import NVML, RAPL

POWERCAP = Path("/sys/class/powercap")


class Meter(Protocol):
    """A counter of energy."""

    method: str

    def read_j(self) -> float:
        """Joules since the meter was opened; never less than before."""
        ...


@dataclass
class Domain:
    """One RAPL domain, whose counter of microjoules starts again at 0 after its range."""

    file: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def advance(self) -> int:
        """Microjoules since the domain was opened."""
        now_uj = int(self.file.read_text(encoding="ascii"))
        self.total_uj += since(self.last_uj, now_uj, self.range_uj)
        self.last_uj = now_uj
        return self.total_uj


def since(last: int, now: int, wraps_at: int) -> int:
    """How far a counter came that starts again at 0 after `wraps_at`, if it did so at most once."""
    return now - last if now >= last else max(0, now + wraps_at - last)


@dataclass
class RaplMeter:
    """The processor packages' energy, by the kernel's powercap interface; memory may not be in it.

    The range of one package is 65 to 262 kJ, some minutes at full load: read it at least once a minute. It counts
    whatever runs on the processor.
    """

    domains: tuple[Domain, ...]
    method: str = field(default=RAPL, init=False)

    def read_j(self) -> float:
        return sum(domain.advance() for domain in self.domains) / 1e6


class GpuMeter:
    """The GPU board's energy, by its driver; the host's is not in it."""

    method = NVML

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._opened_j = gpu.energy_j() or 0.0
        self._latest_j = 0.0

    def read_j(self) -> float:
        now_j = self._gpu.energy_j()
        if now_j is not None:
            self._latest_j = max(self._latest_j, now_j - self._opened_j)
        return self._latest_j


def open_meter(device: str, nvml: object = None) -> Meter | str:
    """The meter of this device, or in words why it has none."""
    if device == "cpu":
        return _open_rapl()
    gpu = open_gpu(nvml)
    if isinstance(gpu, str):
        return gpu
    return "this GPU does not count its energy" if gpu.energy_j() is None else GpuMeter(gpu)


def _open_rapl() -> Meter | str:
    # Of the zones only packages count (AMD's too): core, uncore and dram are parts of one, and psys, the whole board,
    # would count them twice, as would the second way to the same counters, intel-rapl-mmio.
    zones = sorted(POWERCAP.glob("intel-rapl:*"))
    packages = [zone for zone in zones if read(zone / "name").startswith("package")]
    if not packages:
        return "this machine has no RAPL energy counter (virtual machines seldom do)"
    try:
        domains = [
            Domain(
                zone / "energy_uj",
                int((zone / "max_energy_range_uj").read_text(encoding="ascii")),
                int((zone / "energy_uj").read_text(encoding="ascii")),
            )
            for zone in packages
        ]
    except PermissionError:
        # CVE-2020-8694: the counter told other users' secrets.
        return "RAPL is readable only by root since 2020: sudo chmod a+r /sys/class/powercap/*/energy_uj"
    except (OSError, ValueError) as error:
        return f"RAPL does not answer: {error}"
    return RaplMeter(tuple(domains))


def idle_watts(meter: Meter, seconds: float) -> float:
    """Power while this process sleeps for so long, in watts."""
    assert seconds > 0
    started_j, started = meter.read_j(), time.perf_counter()
    time.sleep(seconds)
    return (meter.read_j() - started_j) / (time.perf_counter() - started)


def joules_per_image(total_j: float, seconds: float, idle_w: float, images: int) -> float:
    """Energy of one image above idle: what the calls took, less what the machine takes anyway.

    Below zero where the counter's steps and the idle power's own changes hide it: the median of several processes may
    still say something.
    """
    assert images > 0
    return (total_j - idle_w * seconds) / images
