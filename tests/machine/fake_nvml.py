"""A stand-in for the module `pynvml` with one GPU, whose figures the test sets."""

# ruff: noqa: N802, N803, N815, A002 - NVML's own names

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml


class FakeNvml:
    """Answers as the driver would. A question in `refused` is one that the GPU doesn't support."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_PERF_POLICY_POWER = pynvml.NVML_PERF_POLICY_POWER
    NVML_PERF_POLICY_THERMAL = pynvml.NVML_PERF_POLICY_THERMAL
    nvmlClocksEventReasonSwPowerCap = pynvml.nvmlClocksEventReasonSwPowerCap
    nvmlClocksEventReasonHwPowerBrakeSlowdown = pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
    nvmlClocksEventReasonSwThermalSlowdown = pynvml.nvmlClocksEventReasonSwThermalSlowdown
    nvmlClocksEventReasonHwThermalSlowdown = pynvml.nvmlClocksEventReasonHwThermalSlowdown
    nvmlClocksEventReasonHwSlowdown = pynvml.nvmlClocksEventReasonHwSlowdown

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.opened: list[object] = []
        self.millijoules = 0
        self.mhz = 1980
        self.reasons = pynvml.nvmlClocksEventReasonGpuIdle
        self.violation_ns = {pynvml.NVML_PERF_POLICY_POWER: 0, pynvml.NVML_PERF_POLICY_THERMAL: 0}
        self.pids: list[int] = []
        self.memory: dict[int, int | None] = {}  # bytes of each process; those of others are 1 GB

    def _check(self, name: str, handle: str = "card") -> None:
        assert handle == "card"
        if name in self.refused:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlInit(self) -> None:
        self._check("nvmlInit")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        self.opened.append(index)
        return "card"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.opened.append(uuid)
        return "card"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        self._check("nvmlDeviceGetTotalEnergyConsumption", handle)
        return self.millijoules

    def nvmlDeviceGetClockInfo(self, handle: str, type: int) -> int:
        self._check("nvmlDeviceGetClockInfo", handle)
        assert type == pynvml.NVML_CLOCK_SM
        return self.mhz

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        self._check("nvmlDeviceGetCurrentClocksEventReasons", handle)
        return self.reasons

    def nvmlDeviceGetViolationStatus(self, device: str, perfPolicyType: int) -> Any:
        self._check("nvmlDeviceGetViolationStatus", device)
        return SimpleNamespace(violationTime=self.violation_ns[perfPolicyType])

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        self._check("nvmlDeviceGetComputeRunningProcesses", handle)
        return [SimpleNamespace(pid=pid, usedGpuMemory=self.memory.get(pid, 10**9)) for pid in self.pids]
