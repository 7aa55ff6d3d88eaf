"""Latency of one synchronous stream: warm up, then time single batches until there are enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from densebench.errors import Unavailable
from densebench.measure.device import Device

LEAST_SAMPLES = 2
LEAST_WARM_UP = 2
MOST_WARM_UP = 30
SHORT_WARM_UP_MS = 500.0  # calls that are quick: a few more of them cost nothing
FEW = 4
SETTLED = 0.05  # the last call and the fastest one before it differ by no more than this share
SAFETY = 0.9  # share of the limit that a prediction may fill


@dataclass(frozen=True)
class Budget:
    """Seconds: how long to sample, when the process will be ended, and why it might be slow."""

    sample_s: float
    timeout_s: float
    slow_reason: str = ""


def warm_up(call: Callable[[], object], device: Device, budget: Budget) -> None:
    """Call until it has settled: two calls, the last and the fastest before it, are within 5 % of each other.

    At least twice, four times where that takes less than half a second, and thirty times at most.

    Raises:
        Unavailable: the first call predicts that the rest won't fit into the limit.

    """
    warm = [device.time_ms(call)]
    check_affordable(warm[0], budget)
    while len(warm) < MOST_WARM_UP and not _settled(warm):
        warm.append(device.time_ms(call))


def _settled(warm: list[float]) -> bool:
    if len(warm) < LEAST_WARM_UP or (len(warm) < FEW and sum(warm) < SHORT_WARM_UP_MS):
        return False
    fastest = min(warm[:-1])
    return abs(warm[-1] - fastest) <= SETTLED * fastest


def sample(call: Callable[[], object], device: Device, budget: Budget) -> tuple[float, ...]:
    """Latencies of single calls in ms, at least `LEAST_SAMPLES`, over at least `sample_s` seconds."""
    samples: list[float] = []
    total_ms = 0.0
    enough_ms = 1000 * min(budget.sample_s, budget.timeout_s / 2)
    while len(samples) < LEAST_SAMPLES or total_ms < enough_ms:
        samples.append(device.time_ms(call))
        total_ms += samples[-1]
    return tuple(samples)


def check_affordable(batch_ms: float, budget: Budget) -> None:
    """Refuse a cell that would be ended for taking too long, with the figure that says so."""
    needed_s = (LEAST_WARM_UP + LEAST_SAMPLES) * batch_ms / 1000
    if needed_s > SAFETY * budget.timeout_s:
        why = budget.slow_reason or "too slow here"
        raise Unavailable(
            f"{why}: {batch_ms / 1000:.1f} s a batch, so {needed_s:.0f} s would pass --cell-timeout"
        )
