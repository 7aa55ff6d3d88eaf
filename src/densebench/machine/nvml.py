"""One NVIDIA GPU as its driver sees it: energy, clock, what slows it, who computes on it, in how much memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

POWER_LIMIT = "power limit"
# What the driver may hold the clocks down for, of the reasons that mean slowing. Idle clocks and clocks that somebody
# has set are no disturbance: they are the same before and after.
_SLOWING = {
    "nvmlClocksEventReasonSwPowerCap": POWER_LIMIT,
    "nvmlClocksEventReasonHwPowerBrakeSlowdown": "power brake",
    "nvmlClocksEventReasonSwThermalSlowdown": "heat",
    "nvmlClocksEventReasonHwThermalSlowdown": "heat",
    "nvmlClocksEventReasonHwSlowdown": "hardware slowdown",
}
# The same as counters of time, where the driver keeps them: a bit that was set between two looks is not missed.
_COUNTED = {"NVML_PERF_POLICY_POWER": POWER_LIMIT, "NVML_PERF_POLICY_THERMAL": "heat"}


class Gpu:
    """A GPU through `pynvml`, which a test may replace. What this driver doesn't tell is None or empty."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self.nvml = nvml
        self._handle = handle

    def energy_j(self) -> float | None:
        """Joules that the board took since its driver was loaded."""
        millijoules = self._ask(self.nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        return None if millijoules is None else millijoules / 1000

    def clock_mhz(self) -> float | None:
        """The clock of the multiprocessors now."""
        found = self._ask(self.nvml.nvmlDeviceGetClockInfo, self._handle, self.nvml.NVML_CLOCK_SM)
        return None if found is None else float(found)

    def slowed_by(self) -> frozenset[str]:
        """What holds the clocks down now."""
        bits = self._ask(self.nvml.nvmlDeviceGetCurrentClocksEventReasons, self._handle) or 0
        return frozenset(why for name, why in _SLOWING.items() if bits & getattr(self.nvml, name))

    def slowed_s(self) -> dict[str, float]:
        """For how many seconds it was slowed since the driver was loaded, by reason."""
        spent = {
            why: self._ask(self.nvml.nvmlDeviceGetViolationStatus, self._handle, getattr(self.nvml, name))
            for name, why in _COUNTED.items()
        }
        return {why: found.violationTime / 1e9 for why, found in spent.items() if found is not None}

    def others(self) -> int:
        """How many other processes have a context on it.

        This process has one itself. In a container the driver names processes by the host's numbers, so one that
        isn't found in the list is taken to be there under another number.
        """
        pids = [process.pid for process in self._processes()]
        return len(pids) - 1 if pids and os.getpid() not in pids else len(set(pids) - {os.getpid()})

    def own_bytes(self) -> int | None:
        """Memory of this process, which has a context that is part of it; None where the driver doesn't tell.

        Some drivers list processes without their memory. In a container this process is the only one in the list, or
        nobody knows which of them it is.
        """
        found = self._processes()
        own = [process for process in found if process.pid == os.getpid()] or (
            found if len(found) == 1 else []
        )
        sizes = [process.usedGpuMemory for process in own]
        return None if not sizes or None in sizes else sum(sizes)

    def _processes(self) -> list[Any]:
        """Those with a context on it, as the driver lists them."""
        return self._ask(self.nvml.nvmlDeviceGetComputeRunningProcesses, self._handle) or []

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self.nvml.NVMLError:
            return None


def open_gpu(nvml: Any = None, uuid: str = "") -> Gpu | str:
    """The GPU with this name, by default the one that PyTorch uses in this process, or why there is none.

    Before PyTorch has opened CUDA it is the first that CUDA_VISIBLE_DEVICES allows, by the driver's own order.
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    device = uuid or _of_pytorch() or os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    try:
        nvml.nvmlInit()
        if device.isdecimal():
            handle = nvml.nvmlDeviceGetHandleByIndex(int(device))
        else:
            handle = nvml.nvmlDeviceGetHandleByUUID(device)
    except nvml.NVMLError as error:
        return f"NVIDIA's driver does not answer: {error}"
    return Gpu(nvml, handle)


def _of_pytorch() -> str:
    """The driver's name of PyTorch's device, as CUDA counts in another order; empty while CUDA isn't open."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
