"""The seam between measuring and hardware: how to wait for the device, how to time on it, what memory it took."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from densebench.machine.facts import MB
from densebench.machine.nvml import Gpu, open_gpu
from densebench.model.tf32 import turn_tf32_off

READINGS = 5000  # of the clock, to see its smallest step: some tenths of a millisecond
EVENT_STEP_US = 0.5  # of CUDA's events: "a resolution of around 0.5 microseconds" (cudaEventElapsedTime)


class Device(Protocol):
    """What a measurement asks of the hardware."""

    name: str

    def synchronize(self) -> None:
        """Return when all work that was given to the device is done."""
        ...

    def time_ms(self, call: Callable[[], object]) -> float:
        """How long the device took for one call, in ms; nothing else is pending before or after."""
        ...

    def reset_peak(self) -> None:
        """Forget earlier peaks of device memory."""
        ...

    def peak_mb(self) -> tuple[float | None, float | None]:
        """Peak device memory since the reset: what the allocator handed out, and what the driver sees."""
        ...


class Cpu:
    """The host's processor: calls return when they are done."""

    name = "cpu"

    def synchronize(self) -> None:
        pass

    def time_ms(self, call: Callable[[], object]) -> float:
        started = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - started) / 1e6

    def reset_peak(self) -> None:
        pass

    def peak_mb(self) -> tuple[float | None, float | None]:
        return None, None


class Cuda:
    """An NVIDIA GPU through `torch.cuda`, which a test may replace.

    Time is taken by events on the device's own stream, so the host's launch of the first kernel and the wait
    at the end are outside. The driver's figure is that of this process: its context, workspaces and libraries, which
    the allocator doesn't see, are in it. Where the driver doesn't tell it, as on a MIG slice or in a container with
    other processes on the GPU, it is what the whole device lost since the reset: without the context.
    """

    name = "cuda"

    def __init__(self, cuda: Any = None, find_gpu: Callable[[], Gpu | str] = open_gpu) -> None:
        if cuda is None:
            import torch

            cuda = torch.cuda
        self.cuda = cuda
        self._find_gpu = find_gpu
        self._gpu: Gpu | None = None
        self._free_at_reset = 0
        self._least_free = 0
        self._most_used: int | None = None

    def synchronize(self) -> None:
        self.cuda.synchronize()

    def time_ms(self, call: Callable[[], object]) -> float:
        start, end = self.cuda.Event(enable_timing=True), self.cuda.Event(enable_timing=True)
        self.cuda.synchronize()
        start.record()
        call()
        end.record()
        end.synchronize()
        self._look_at_memory()
        return float(start.elapsed_time(end))

    def reset_peak(self) -> None:
        self.cuda.synchronize()
        self.cuda.empty_cache()
        self.cuda.reset_peak_memory_stats()
        if self._gpu is None:  # CUDA is open by now, which says what GPU it is
            found = self._find_gpu()
            self._gpu = found if isinstance(found, Gpu) else None
        self._free_at_reset = self._least_free = self.cuda.mem_get_info()[0]
        self._most_used = self._gpu.own_bytes() if self._gpu else None

    def peak_mb(self) -> tuple[float | None, float | None]:
        self._look_at_memory()
        fallen = self._free_at_reset - self._least_free
        taken = fallen if self._most_used is None else self._most_used
        return self.cuda.max_memory_allocated() / MB, taken / MB

    def _look_at_memory(self) -> None:
        """Ask for this process's memory where the device has less left than ever: that takes far longer to ask."""
        free = self.cuda.mem_get_info()[0]
        if free < self._least_free:
            self._least_free = free
            if self._gpu and self._most_used is not None:
                used = self._gpu.own_bytes()
                self._most_used = None if used is None else max(self._most_used, used)


def open_device(name: str) -> Device:
    """The device of this name. On CUDA, TF32 is turned off: FP32 rows compute in FP32."""
    if name == "cpu":
        return Cpu()
    turn_tf32_off()
    return Cuda()


def clock_step_us(device: str, clock: Callable[[], int] = time.perf_counter_ns) -> float:
    """The smallest step of the clock that times calls on this device, in microseconds.

    On the CPU the least by which it was seen to advance from one reading to the next, so never less than a reading
    takes: both blur a call. Read on until it moves.
    """
    if device != "cpu":
        return EVENT_STEP_US
    least, read, before = math.inf, 0, clock()
    while read < READINGS or math.isinf(least):
        now = clock()
        if now > before:
            least = min(least, now - before)
        before = now
        read += 1
    return least / 1000
