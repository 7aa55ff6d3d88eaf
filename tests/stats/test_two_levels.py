"""Speed-ups from pairs, by simulation: processes, moments and single calls each have their noise.

What is simulated goes through the real pairs, rounds, intervals and verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from densebench.measure.interleave import pair_count
from densebench.measure.timer import MOST_SLICES
from densebench.spec import BASELINE_PROCESSES, FOCUS_ROUNDS
from densebench.stats.speedup import Estimate, Process, process, speedup, verdict

BASELINE_MS, SAMPLE_S = 100.0, 1.0
PAIRS = pair_count(BASELINE_MS / 1000, SAMPLE_S)
PROCESS, CALL = 0.01, 0.02  # standard deviations of logarithms
Moments = Callable[[np.random.Generator, int], np.ndarray]
Calls = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def even(rng: np.random.Generator, count: int) -> np.ndarray:
    """Speeds that differ by a tenth from pair to pair."""
    return 0.1 * rng.standard_normal(count)


def heavy(rng: np.random.Generator, count: int) -> np.ndarray:
    """Now and then a pair is far off."""
    return 0.1 * rng.standard_t(3, count)


def two_speeds(rng: np.random.Generator, count: int) -> np.ndarray:
    """A machine with a neighbour or without."""
    return np.where(rng.random(count) < 0.5, 0.0, 0.5)


def drifting(rng: np.random.Generator, count: int) -> np.ndarray:
    """Slower and slower, as one that gets hot."""
    return np.linspace(0, 0.5, count) + 0.05 * rng.standard_normal(count)


SHAPES = (even, heavy, two_speeds, drifting)


def either_way(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Calls that are as often early as late."""
    return rng.standard_normal(shape)


def late(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Calls that are late, never early."""
    return rng.gamma(1.0, size=shape)


def measured(
    rng: np.random.Generator, moments: Moments, effect: float, calls: Calls = either_way
) -> Estimate:
    """A comparison as a sweep makes it at a focus batch size."""
    ours: list[Process] = []
    theirs: list[Process] = []
    for number in range(FOCUS_ROUNDS):
        reference_ms = process_ms(rng, BASELINE_MS)
        ours.append(paired(rng, moments, process_ms(rng, BASELINE_MS / effect), reference_ms, number, calls))
        theirs += [
            paired(rng, moments, process_ms(rng, BASELINE_MS), reference_ms, number, calls)
            for _ in range(BASELINE_PROCESSES)
        ]
    found = speedup(ours, theirs)
    assert found is not None
    return found


def process_ms(rng: np.random.Generator, ms: float) -> float:
    """How long a call takes in one process of those that take so long."""
    return ms * math.exp(PROCESS * rng.standard_normal())


def paired(
    rng: np.random.Generator, moments: Moments, own_ms: float, their_ms: float, number: int, noise: Calls
) -> Process:
    """One process in pairs with the reference process; both slices of a pair meet the same moment."""

    def slices(ms: float) -> np.ndarray:
        calls = max(1, math.ceil(1000 * SAMPLE_S / MOST_SLICES / ms))
        return ms * np.exp(speeds[:, None] + CALL * noise(rng, (PAIRS, calls)))

    speeds = moments(rng, PAIRS)
    return process(number, (), list(zip(slices(own_ms).tolist(), slices(their_ms).tolist(), strict=True)))


@pytest.mark.parametrize("moments", SHAPES)
@pytest.mark.parametrize("effect", [1.0, 1.3, 4.0])
def test_intervals_hold_the_truth(moments: Moments, effect: float) -> None:
    """95 times in 100, whatever the moments do to both processes, and on average they are right."""
    rng = np.random.default_rng(1)
    runs = 150
    found = [measured(rng, moments, effect) for _ in range(runs)]
    held = sum(one.low <= effect <= one.high for one in found if one.low and one.high)
    assert held / runs >= 0.95 - 2.5 * math.sqrt(0.05 * 0.95 / runs)
    logs = [math.log(one.value / effect) for one in found]
    assert abs(np.mean(logs)) < 3 * np.std(logs) / math.sqrt(runs) + 0.001


@pytest.mark.parametrize("effect", [1.3, 4.0])
def test_late_calls_make_a_quick_model_look_less_quick_by_half_a_percent_at_most(effect: float) -> None:
    """A slice of one call is late less often than on average, the mean of four calls as late as the average."""
    rng = np.random.default_rng(4)
    logs = [math.log(measured(rng, even, effect, late).value / effect) for _ in range(150)]
    assert -0.005 < np.mean(logs) < 0.001


@pytest.mark.parametrize("moments", SHAPES)
def test_a_recipe_is_seldom_told_from_itself(moments: Moments) -> None:
    """`faster` or `slower` in at most one of ten."""
    rng = np.random.default_rng(2)
    said = [verdict(measured(rng, moments, 1.0)) for _ in range(100)]
    assert sum(word in ("faster", "slower") for word in said) <= 10


@pytest.mark.parametrize("moments", SHAPES)
def test_five_percent_more_work_is_found(moments: Moments) -> None:
    """Nine times in ten, although the machine's speed changes by more than that all the time; ten percent always."""
    rng = np.random.default_rng(3)
    for effect, least in ((1 / 1.05, 0.9), (1 / 1.1, 1.0)):
        said = [verdict(measured(rng, moments, effect)) for _ in range(60)]
        assert np.mean([word == "slower" for word in said]) >= least
