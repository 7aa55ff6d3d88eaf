"""Waiting for a process whose threads go on spinning."""

from __future__ import annotations

import pytest

from densebench.machine import idle
from densebench.machine.idle import wait_until_idle


class Clock:
    """Stands for `time` in `machine.idle`: a process whose threads compute for so long."""

    def __init__(self, busy_s: float) -> None:
        self.now_s = 0.0
        self._busy_s = busy_s

    def monotonic(self) -> float:
        """Seconds that have passed."""
        return self.now_s

    def process_time(self) -> float:
        """CPU seconds of the process."""
        return min(self.now_s, self._busy_s)

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.now_s += seconds


@pytest.mark.parametrize(
    ("busy_s", "limit_s", "idle_at_last", "after_s"),
    [(0.0, 1.0, True, 0.01), (0.3, 1.0, True, 0.31), (0.3, 0.1, False, 0.1)],
)
def test_a_process_whose_threads_spin_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, busy_s: float, limit_s: float, *, idle_at_last: bool, after_s: float
) -> None:
    """Until they have ended, which is seen at once; not forever."""
    clock = Clock(busy_s)
    monkeypatch.setattr(idle, "time", clock)
    assert wait_until_idle(limit_s) == idle_at_last
    assert clock.now_s == pytest.approx(after_s, abs=0.011)
