"""Speed-ups from rounds: intervals that mean what they say, on noise of known making."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.special import stdtrit

from densebench.stats.comparison import (
    CONFIDENCE_LOOKED,
    LOOK_FROM,
    Block,
    Estimate,
    blocks,
    excess,
    geometric_mean,
    log_ratio,
    log_ratio_of_means,
    log_ratios,
    near,
    speedup,
    throughput,
    verdict,
)

Noise = Callable[[np.random.Generator, int], np.ndarray]
MEANS = st.lists(st.floats(0.01, 1e5), min_size=2, max_size=30)


def rounds_of(means_ms: list[float]) -> list[Block]:
    """One block a round."""
    return [Block(number, mean) for number, mean in enumerate(means_ms)]


@given(MEANS, st.floats(0.1, 10))
def test_a_constant_factor_is_found_exactly(means_ms: list[float], factor: float) -> None:
    """Whatever slows a whole round cancels: what is left is the factor, with an interval of no width."""
    ours = [Block(block.round, block.mean_ms / factor) for block in rounds_of(means_ms)]
    found = speedup(ours, rounds_of(means_ms))
    assert found is not None
    assert found.value == pytest.approx(factor)
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


@given(MEANS, MEANS)
def test_sides_exchanged_give_the_inverse(ours: list[float], theirs: list[float]) -> None:
    """Being twice as fast and being half as fast are one finding."""
    there, back = speedup(rounds_of(ours), rounds_of(theirs)), speedup(rounds_of(theirs), rounds_of(ours))
    assert there is not None
    assert back is not None
    assert there.value * back.value == pytest.approx(1)
    if there.low is not None and back.high is not None and back.high < 1e300:
        assert there.low * back.high == pytest.approx(1)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=40), st.floats(0.5, 0.99))
def test_the_interval_is_students(logs: list[float], confidence: float) -> None:
    """The same as SciPy's, on logarithms."""
    found = geometric_mean(logs, confidence)
    spread = scipy_stats.sem(logs)
    assert found.value == pytest.approx(math.exp(np.mean(logs)))
    if spread > 1e-9:
        low, high = scipy_stats.t.interval(confidence, len(logs) - 1, np.mean(logs), spread)
        assert found.low == pytest.approx(math.exp(low))
        assert found.high == pytest.approx(math.exp(high))


def test_only_rounds_that_have_both_count() -> None:
    """A resumed run measures the baseline again: a recipe is compared with the blocks that ran beside it."""
    baseline = [Block(0, 100.0), Block(0, 100.0), Block(7, 50.0), Block(7, 50.0)]
    assert log_ratios([Block(7, 25.0)], baseline) == pytest.approx([math.log(2)])
    assert speedup([Block(3, 25.0)], baseline) is None


def test_a_process_in_turn_with_it_is_what_a_process_is_compared_with() -> None:
    """Its round's others only where there is none: what the moment did to both of them cancels."""
    baseline = [Block(1, 100.0), Block(2, 300.0)]
    ours = [Block(1, 10.0, math.log(2)), Block(2, 30.0), Block(3, 10.0, math.log(4)), Block(4, 5.0)]
    assert log_ratios(ours, baseline) == pytest.approx([math.log(2), math.log(10), math.log(4)])


def test_the_one_that_stands_beside_is_one_of_the_baselines_processes() -> None:
    """It carries the comparison to those of its round that took turns with it too; what counts is the mean of all."""
    baseline = [Block(1, 100.0, math.log(0.5)), Block(1, 100.0, math.log(0.25)), Block(2, 100.0)]
    ours = [Block(1, 10.0, math.log(2)), Block(2, 10.0, math.log(2))]
    assert log_ratios(ours, baseline) == pytest.approx([math.log(2) + math.log(8) / 3, math.log(2)])


def test_a_baseline_whose_processes_differ_by_themselves_is_known_better_for_it() -> None:
    """By simulation: processes of the baseline scatter by 15 %, as they do in plain PyTorch, the recipe's by 3 %."""
    rng = np.random.default_rng(3)
    rounds, truth, widths, held = 5, math.log(4), {True: 0.0, False: 0.0}, 0
    for _ in range(2000):
        ours: list[Block] = []
        theirs: list[Block] = []
        for number in range(rounds):
            beside = 0.15 * rng.standard_normal()
            ratio = truth + beside - 0.03 * rng.standard_normal() + 0.01 * rng.standard_normal()
            ours.append(Block(number, 25.0, ratio))
            own = beside - 0.15 * rng.standard_normal(2) + 0.01 * rng.standard_normal(2)
            theirs += [Block(number, 100.0, each) for each in own]
        for with_theirs in (True, False):
            found = speedup(ours, theirs if with_theirs else [])
            assert found is not None
            assert found.half_width is not None
            widths[with_theirs] += found.half_width
            if with_theirs and found.low is not None and found.high is not None:
                held += found.low <= 4 <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
    assert widths[True] < 0.65 * widths[False]  # the root of a third, and what the recipe adds


def test_turns_count_alike_however_many_calls_they_have() -> None:
    """The machine is half as fast in one of two turns: a quick model has fewer calls in it, a slow one has one."""
    own, theirs = [10.0] * 24 + [20.0] * 12, [300.0, 600.0]
    for ratio in (log_ratio, log_ratio_of_means):
        assert ratio(own, theirs, [(24, 1), (12, 1)]) == pytest.approx(math.log(30))
        assert ratio(own, theirs) > math.log(33)
    (found,) = blocks([own], [3], [theirs], [[(24, 1), (12, 1)]])
    assert found == Block(3, pytest.approx(40 / 3), pytest.approx(math.log(30)))


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.integers(1, 50), st.integers(1, 50)), min_size=1),
    st.floats(0.1, 10),
)
def test_what_a_moment_does_to_both_cancels(turns: list[tuple[float, int, int]], factor: float) -> None:
    """Whatever it does, and whatever the number of calls that fit into it."""
    own = [10 * slow for slow, mine, _ in turns for _ in range(mine)]
    theirs = [10 * factor * slow for slow, _, other in turns for _ in range(other)]
    counts = [(mine, other) for _, mine, other in turns]
    assert log_ratio(own, theirs, counts) == pytest.approx(math.log(factor), abs=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=24), st.integers(0, 2**32 - 1))
def test_slow_spells_in_a_minority_of_turns_change_nothing(logs: list[float], seed: int) -> None:
    """Whichever of the two they hit: turns far off have no part; the mean of times has them all."""
    rng = np.random.default_rng(seed)
    usual = [10 * math.exp(0.01 * one) for one in logs]
    hit = rng.permutation(len(usual))[: len(usual) // 5]
    own, theirs = np.array(usual), np.full(len(usual), 20.0)
    kept = [math.log(20 / own[place]) for place in range(len(usual)) if place not in hit]
    for place in hit:
        (own if rng.random() < 0.5 else theirs)[place] *= 3
    found = log_ratio(own.tolist(), theirs.tolist(), [(1, 1)] * len(usual))
    assert min(kept) - 1e-9 <= found <= max(kept) + 1e-9


def test_slow_spells_scatter_the_ratio_less_than_that_of_means() -> None:
    """By simulation: one in ten blocks takes 1.5 times as long, the others scatter by a percent."""
    rng = np.random.default_rng(5)
    times = 10 * np.exp(
        0.01 * rng.standard_normal((500, 2, 12)) + math.log(1.5) * (rng.random((500, 2, 12)) < 0.1)
    )
    of_turns, of_means = (
        np.std([ratio(own.tolist(), theirs.tolist(), [(1, 1)] * 12) for own, theirs in times])
        for ratio in (log_ratio, log_ratio_of_means)
    )
    assert of_turns < 0.5 * of_means


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40))
def test_what_is_far_off_is_less_than_half(values: list[float]) -> None:
    """The middle ones are always near, whatever the others do."""
    assert len(near(values)) > len(values) / 2 - 1
    assert min(values) <= np.mean(near(values)) <= max(values) + 1e-9


def test_one_process_has_no_interval() -> None:
    """Nothing is known of the spread between processes from one of them."""
    found = throughput([Block(0, 20.0)], 8)
    assert found.value == pytest.approx(400.0)
    assert found.half_width is None
    assert verdict(found) is None
    assert excess(found, 1.0) > 1


def test_blocks_are_processes_means() -> None:
    """The unit is the process: its mean, whatever the number of its samples."""
    assert blocks([[1.0, 3.0], [5.0]], [0, 1]) == [Block(0, 2.0), Block(1, 5.0)]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.98, 1.02, "same"),
        (1.001, 1.029, "same"),  # first in order, though it excludes 1
        (1.01, 1.05, "faster"),
        (0.90, 0.99, "slower"),
        (0.99, 1.04, "unclear"),
        (0.5, 2.0, "unclear"),
    ],
)
def test_verdicts(low: float, high: float, said: str) -> None:
    """The contract's rule, in its order."""
    assert verdict(Estimate(math.sqrt(low * high), low, high)) == said


def test_large_effects_need_no_narrow_interval() -> None:
    """Eight times faster within 15 % is known well enough; 1 % faster within 15 % is not."""
    assert excess(Estimate(8.0, 7.0, 9.2), 0.02) <= 1
    assert excess(Estimate(1.01, 0.88, 1.16), 0.02) > 1
    assert excess(Estimate(1.01, 0.995, 1.025), 0.02) <= 1


def normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of standard deviation 1, as all of these."""
    return rng.standard_normal(count)


def heavy(rng: np.random.Generator, count: int) -> np.ndarray:
    """Now and then far off: Student's with three degrees of freedom."""
    return rng.standard_t(3, count) / math.sqrt(3)


def two_modes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Where the allocator's pages fall: two speeds, a little noise around each."""
    return np.where(rng.random(count) < 0.5, -0.98, 0.98) + 0.2 * rng.standard_normal(count)


def compare(
    rng: np.random.Generator, noise: Noise, sd: float, effect: float, rounds: int, *, drift: float = 0.0
) -> tuple[list[Block], list[Block]]:
    """One comparison: two blocks of the baseline and one of the recipe a round, with a drift over rounds."""
    ours, theirs = [], []
    for number in range(rounds):
        slow = drift * number / rounds
        first, second, own = sd * noise(rng, 3)
        theirs += [Block(number, 100 * math.exp(slow + first)), Block(number, 100 * math.exp(slow + second))]
        ours.append(Block(number, 100 / effect * math.exp(slow + own)))
    return ours, theirs


def look(ours: list[Block], theirs: list[Block], target: float) -> Estimate:
    """The interval at which an adaptive cell stops."""
    ratios = log_ratios(ours, theirs)
    looks = (geometric_mean(ratios[:count], CONFIDENCE_LOOKED) for count in range(LOOK_FROM, len(ratios)))
    enough = (found for found in looks if excess(found, target) <= 1)
    return next(enough, geometric_mean(ratios, CONFIDENCE_LOOKED))


@pytest.mark.parametrize(
    ("noise", "sd", "effect", "least"),
    [
        (normal, 0.02, 1.0, 0.94),
        (normal, 0.05, 1.0, 0.94),
        (normal, 0.05, 1.3, 0.94),
        (normal, 0.05, 8.0, 0.94),
        (heavy, 0.05, 1.0, 0.94),
        (two_modes, 0.05, 1.0, 0.92),
    ],
)
def test_stopping_when_narrow_keeps_the_confidence(
    noise: Noise, sd: float, effect: float, least: float
) -> None:
    """Although the data decide how many rounds there are, 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(1)
    runs = 400
    held = 0
    for _ in range(runs):
        found = look(*compare(rng, noise, sd, effect, 20, drift=0.2), target=0.02)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= effect <= found.high
    assert held / runs >= least - 2 * math.sqrt(0.05 * 0.95 / runs)


def held_at_worst(confidence: float) -> float:
    """The share of intervals made for so much that hold 0, of 20,000 series that end at the first narrow one.

    The least over how much rounds scatter, against the half-width that is wanted.
    """
    found = []
    for sd in (0.7, 1.0, 1.5, 2.5):
        rounds = np.random.default_rng(4).normal(0.0, sd, (20_000, 30))
        count = np.arange(1, rounds.shape[1] + 1)
        mean = np.cumsum(rounds, 1) / count
        variance = (np.cumsum(rounds**2, 1) - count * mean**2) / np.maximum(count - 1, 1)
        half = stdtrit(np.maximum(count - 1, 1), 0.5 + confidence / 2) * np.sqrt(variance / count)
        stops = (half <= 1) & (count >= LOOK_FROM)
        stops[:, -1] = True
        last = stops.argmax(1)
        every = np.arange(len(rounds))
        found.append(float(np.mean(np.abs(mean[every, last]) <= half[every, last])))
    return min(found)


def test_looking_at_the_data_is_corrected_for() -> None:
    """Intervals made for 95 % would hold the truth less often, and those that are made do not."""
    assert held_at_worst(CONFIDENCE_LOOKED) >= 0.945
    assert held_at_worst(0.95) < 0.94


@pytest.mark.parametrize("rounds", [3, 5])
def test_fixed_rounds_hold_the_truth_as_often_as_said(rounds: int) -> None:
    """Three rounds give a wide interval, and an honest one."""
    rng = np.random.default_rng(2)
    found = [speedup(*compare(rng, normal, 0.06, 1.2, rounds, drift=0.3)) for _ in range(1000)]
    held = np.mean([one.low <= 1.2 <= one.high for one in found])  # type: ignore[union-attr, operator]
    assert held == pytest.approx(0.95, abs=0.025)


def test_no_difference_is_seldom_called_one() -> None:
    """Comparing a recipe with itself: `faster` or `slower` in about 1 of 20, whatever the noise."""
    rng = np.random.default_rng(3)
    for noise in (normal, heavy, two_modes):
        said = [verdict(look(*compare(rng, noise, 0.05, 1.0, 15), target=0.02)) for _ in range(400)]
        assert sum(word in ("faster", "slower") for word in said) <= 400 * 0.08


def test_five_percent_is_found() -> None:
    """At a focus batch size with 3 % of noise between processes, 5 % is found nine times in ten, 10 % always."""
    rng = np.random.default_rng(4)
    for effect, least in ((1 / 1.05, 0.9), (1 / 1.10, 1.0)):
        said = [verdict(look(*compare(rng, normal, 0.03, effect, 20), target=0.02)) for _ in range(200)]
        assert np.mean([word == "slower" for word in said]) >= least
