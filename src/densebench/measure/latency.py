"""Latency of one synchronous stream: warm up, then time single batches until there are enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from densebench.errors import Unavailable
from densebench.measure.device import Device

LEAST_SAMPLES = 5
LEAST_WARM_UP = 3
MOST_WARM_UP = 30
SETTLED = 1.05  # the last warm-up call is within 5 % of the fastest one before it
SAFETY = 0.9  # share of the limit that a prediction may fill


@dataclass(frozen=True)
class Budget:
    """Seconds: how long to sample, when the process will be ended, and why it might be slow."""

    sample_s: float
    timeout_s: float
    slow_reason: str = ""


def sample(call: Callable[[], object], device: Device, budget: Budget) -> tuple[float, ...]:
    """Latencies of single calls in ms, at least `LEAST_SAMPLES`, over at least `sample_s` seconds.

    Warm-up ends once a call is within 5 % of the fastest one before it, after 3 to 30 calls.

    Raises:
        Unavailable: the probe predicts that the samples won't fit into the limit.

    """
    warm = [device.time_ms(call)]
    check_affordable(warm[0], budget)
    while len(warm) < LEAST_WARM_UP or (len(warm) < MOST_WARM_UP and warm[-1] > SETTLED * min(warm[:-1])):
        warm.append(device.time_ms(call))
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
