"""What a deployment optimizes, and the limits that it must keep."""

from __future__ import annotations

from typing import get_args

from densebench.results.record import Row
from densebench.spec import Objective
from densebench.stats.speedup import CLEAR

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
SPEEDS: tuple[Objective, ...] = ("throughput", "latency")  # for these the recommended recipe must be faster

COLUMNS: dict[Objective, str] = {
    "throughput": "throughput_samples_per_s",
    "latency": "latency_p50_ms",
    "memory": "deploy_memory_mb",
    "size": "model_size_mb",
}


def column_of(objective: Objective, device: str) -> str:
    """The column that an objective compares: on CUDA memory is the process's GPU memory."""
    return "vram_driver_peak_mb" if objective == "memory" and device != "cpu" else COLUMNS[objective]


def figure(row: Row, objective: Objective) -> float | None:
    """What the objective compares of a row, None where it was not measured.

    A sample that is too small for a median has its mean in the median's place.
    """
    if objective == "memory":
        return memory_mb(row)
    value: float | None = getattr(row, COLUMNS[objective])
    return row.latency_mean_ms if value is None and objective == "latency" else value


def memory_mb(row: Row) -> float | None:
    """The memory that a deployed model takes at the row's batch size, in MB; None where it was not measured there.

    On a CPU it is that of a program of its own, which runs at one batch size for each recipe and answers one batch
    after the other.
    """
    if row.streams > 1:
        return None
    if row.device != "cpu":
        return row.vram_driver_peak_mb
    return row.deploy_memory_mb if row.deploy_batch_size in (None, row.batch_size) else None


def better(one: float, other: float, objective: Objective) -> bool:
    """Whether the first figure is the better one; memory of one process must differ by more than 3 %."""
    if objective == "memory":
        return one < (1 - CLEAR) * other
    return one > other if objective == "throughput" else one < other


def latency_ms(row: Row) -> tuple[float | None, str]:
    """The latency that a limit holds against, and which it is: p95 where there is one, else p50, else the mean."""
    known = (("p95", row.latency_p95_ms), ("p50", row.latency_p50_ms), ("mean", row.latency_mean_ms))
    return next(((value, which) for which, value in known if value is not None), (None, ""))
