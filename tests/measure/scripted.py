"""A device whose calls take the times that a test says, and a session that answers at once. Nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from densebench.processes import messages
from tests.artifacts.test_manifest import make


class ScriptedDevice:
    """Calls take the times in the list, then `steady_ms` each."""

    name = "cpu"

    def __init__(self, times_ms: Iterable[float] = (), steady_ms: float = 10.0) -> None:
        self._times_ms = iter(times_ms)
        self._steady_ms = steady_ms
        self.timed_ms: list[float] = []

    def call(self) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Nothing is pending."""

    def time_ms(self, call: Callable[[], object]) -> float:
        """Run the call; the next time of the list."""
        call()
        self.timed_ms.append(next(self._times_ms, self._steady_ms))
        return self.timed_ms[-1]

    def reset_peak(self) -> None:
        """There is no memory."""

    def peak_mb(self) -> tuple[float | None, float | None]:
        """What an allocator and a driver would tell."""
        return 1.0, 200.0


class Answering:
    """A session that answers at once."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2)

    def trace(self, images: torch.Tensor) -> None:
        """No profiler of its own."""

    def close(self) -> None:
        """Nothing is open."""


def measure_job(folder: Path, **changes: Any) -> messages.Measure:
    """Time an artifact that is made in the folder, at batch sizes 1 and 2, on two images."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"images": torch.zeros(2, 3, 16, 16)}, folder / "images")
    facts: dict[str, Any] = {
        "folder": make(folder / "model"),
        "device": "cpu",
        "batch_sizes": (1, 2),
        "timing_file": folder / "images",
        "sample_seconds": 0.01,
        "timeout_s": 100,
        "slow_reason": "",
        "threads": 1,
        "trust": False,
    }
    return messages.Measure(**(facts | changes))
