"""Speed-ups from rounds: intervals that mean what they say, on noise of known making."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from densebench.spec import FOCUS_ROUNDS
from densebench.stats.speedup import (
    Estimate,
    Process,
    geometric_mean,
    log_ratio,
    log_ratios,
    process,
    rounds_needed,
    speedup,
    student_factor,
    throughput,
    verdict,
)

Noise = Callable[[np.random.Generator, int], np.ndarray]
MEANS = st.lists(st.floats(0.01, 1e5), min_size=2, max_size=30)


def rounds_of(means_ms: list[float]) -> list[Process]:
    """One process a round."""
    return [Process(number, mean) for number, mean in enumerate(means_ms)]


@given(MEANS, st.floats(0.1, 10))
def test_a_constant_factor_is_found_exactly(means_ms: list[float], factor: float) -> None:
    """Whatever slows a whole round cancels: what is left is the factor, with an interval of no width."""
    ours = [Process(one.round, one.mean_ms / factor) for one in rounds_of(means_ms)]
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
    """A recipe is compared with the baseline's processes of the same round, and with no others."""
    baseline = [Process(0, 100.0), Process(0, 100.0), Process(7, 50.0), Process(7, 50.0)]
    assert log_ratios([Process(7, 25.0)], baseline) == pytest.approx([math.log(2)])
    assert speedup([Process(3, 25.0)], baseline) is None


def test_pairs_outrank_the_baselines_processes_of_the_round() -> None:
    """Where a process has pairs, what a moment did to both sides cancels; elsewhere the round's baseline counts."""
    baseline = [Process(1, 100.0), Process(2, 300.0)]
    ours = [Process(1, 10.0, math.log(2)), Process(2, 30.0), Process(3, 10.0, math.log(4)), Process(4, 5.0)]
    assert log_ratios(ours, baseline) == pytest.approx([math.log(2), math.log(10), math.log(4)])


def test_the_reference_process_is_one_of_the_baselines() -> None:
    """It carries the comparison to the baseline's other processes of the round; what counts is the mean of all."""
    baseline = [Process(1, 100.0, math.log(0.5)), Process(1, 100.0, math.log(0.25)), Process(2, 100.0)]
    ours = [Process(1, 10.0, math.log(2)), Process(2, 10.0, math.log(2))]
    assert log_ratios(ours, baseline) == pytest.approx([math.log(2) + math.log(8) / 3, math.log(2)])


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_the_reference_processs_own_speed_cancels(quick: float, factor: float) -> None:
    """A reference process that is by itself quicker or slower is so for all recipes of the round, up to its third."""

    def found(own: float) -> float:
        two = [Process(0, 100.0, math.log(own))] * 2
        return log_ratios([Process(0, 100.0 / factor, math.log(own * factor))], two)[0]

    assert found(quick) == pytest.approx(math.log(factor) + math.log(quick) / 3, abs=1e-9)


def test_a_baseline_whose_processes_differ_by_themselves_is_known_better_for_it() -> None:
    """By simulation: processes of the baseline scatter by 15 %, as they do in plain PyTorch, the recipe's by 3 %."""
    rng = np.random.default_rng(3)
    rounds, truth, widths, held = 5, math.log(4), {True: 0.0, False: 0.0}, 0
    for _ in range(2000):
        ours: list[Process] = []
        theirs: list[Process] = []
        for number in range(rounds):
            reference = 0.15 * rng.standard_normal()
            ratio = truth + reference - 0.03 * rng.standard_normal() + 0.01 * rng.standard_normal()
            ours.append(Process(number, 25.0, ratio))
            own = reference - 0.15 * rng.standard_normal(2) + 0.01 * rng.standard_normal(2)
            theirs += [Process(number, 100.0, each) for each in own]
        for with_theirs in (True, False):
            found = speedup(ours, theirs if with_theirs else [])
            assert found is not None
            assert found.half_width is not None
            widths[with_theirs] += found.half_width
            if with_theirs and found.low is not None and found.high is not None:
                held += found.low <= 4 <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
    assert widths[True] < 0.65 * widths[False]  # the root of a third, and what the recipe adds


def test_pairs_count_alike_however_many_calls_they_have() -> None:
    """The machine is half as fast in one of two pairs: a quick model has fewer calls in it, a slow one has one."""
    pairs = [([10.0] * 24, [300.0]), ([20.0] * 12, [600.0])]
    assert log_ratio(pairs) == pytest.approx(math.log(30))
    assert process(3, (), pairs) == Process(3, pytest.approx(40 / 3), pytest.approx(math.log(30)))


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.integers(1, 50), st.integers(1, 50)), min_size=1),
    st.floats(0.1, 10),
)
def test_what_a_moment_does_to_both_cancels(moments: list[tuple[float, int, int]], factor: float) -> None:
    """Whatever it does, and whatever the number of calls that fit into it."""
    pairs = [([10 * slow] * own, [10 * factor * slow] * other) for slow, own, other in moments]
    assert log_ratio(pairs) == pytest.approx(math.log(factor), abs=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=24), st.floats(1, 1000), st.integers(0, 2**32 - 1))
def test_the_median_of_pairs_bears_outliers(logs: list[float], spell: float, seed: int) -> None:
    """However slow a minority of pairs is, and whichever side it hits, the ratio stays among the other pairs'."""
    rng = np.random.default_rng(seed)
    own, theirs = 10 * np.exp(0.01 * np.array(logs)), np.full(len(logs), 20.0)
    hit = rng.permutation(len(logs))[: (len(logs) - 1) // 2]
    kept = np.delete(np.log(theirs / own), hit)
    for place in hit:
        (own if rng.random() < 0.5 else theirs)[place] *= spell
    found = log_ratio([([mine], [other]) for mine, other in zip(own, theirs, strict=True)])
    assert min(kept) - 1e-9 <= found <= max(kept) + 1e-9


def test_slow_spells_scatter_the_median_of_pairs_less_than_the_ratio_of_means() -> None:
    """By simulation: one in ten slices takes 1.5 times as long, the others scatter by a percent."""
    rng = np.random.default_rng(5)
    slow = math.log(1.5) * (rng.random((500, 12, 2)) < 0.1)
    times = 10 * np.exp(0.01 * rng.standard_normal((500, 12, 2)) + slow)
    medians = [log_ratio([([own], [other]) for own, other in each]) for each in times]
    assert np.std(medians) < 0.5 * np.std(np.log(times[..., 1].mean(1) / times[..., 0].mean(1)))


@given(st.floats(0.001, 2), st.integers(2, 12), st.floats(0.001, 0.5))
def test_so_many_rounds_would_meet_the_target_and_one_less_would_not(
    half_width: float, rounds: int, target: float
) -> None:
    """If rounds scatter alike; a target that is met needs no more, one beyond reach has no answer."""
    needed = rounds_needed(half_width, rounds, target)
    scatter = math.log1p(half_width) / student_factor(rounds)

    def narrow(count: int) -> bool:
        return scatter * student_factor(count) <= math.log1p(target)

    if needed is None:
        assert not narrow(100)
    else:
        assert narrow(needed)
        assert needed == rounds or not narrow(needed - 1)


def test_rounds_needed_by_hand() -> None:
    """Student's factors are 2.484 / 1.049 for three and six rounds: the same scatter, 2.37 times as narrow."""
    assert rounds_needed(math.expm1(0.2484), 3, math.expm1(0.105)) == 6
    assert rounds_needed(math.expm1(0.2484), 3, math.expm1(0.104)) == 7
    assert rounds_needed(0.01, 3, 0.02) == 3
    assert rounds_needed(1.0, 3, 0.0001) is None


def test_one_process_has_no_interval() -> None:
    """Nothing is known of the spread between processes from one of them."""
    found = throughput([Process(0, 20.0)], 8)
    assert found.value == pytest.approx(400.0)
    assert found.half_width is None
    assert verdict(found) is None


def test_a_process_is_its_mean() -> None:
    """The unit is the process, whatever the number of its calls; processes of one round count as one."""
    assert process(0, [1.0, 3.0]) == Process(0, 2.0)
    found = throughput([Process(0, 10.0), Process(0, 40.0), Process(1, 20.0)], 8)
    assert (found.value, found.low, found.high) == pytest.approx((400.0, 400.0, 400.0))


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
) -> tuple[list[Process], list[Process]]:
    """One comparison: two processes of the baseline and one of the recipe a round, with a drift over rounds."""
    ours, theirs = [], []
    for number in range(rounds):
        slow = drift * number / rounds
        first, second, own = sd * noise(rng, 3)
        theirs += [
            Process(number, 100 * math.exp(slow + first)),
            Process(number, 100 * math.exp(slow + second)),
        ]
        ours.append(Process(number, 100 / effect * math.exp(slow + own)))
    return ours, theirs


@pytest.mark.parametrize("rounds", [3, 6])
@pytest.mark.parametrize(
    ("noise", "effect", "least"),
    [(normal, 1.0, 0.95), (normal, 8.0, 0.95), (heavy, 1.2, 0.95), (two_modes, 1.0, 0.92)],
)
def test_intervals_hold_the_truth_as_often_as_said(
    noise: Noise, effect: float, least: float, rounds: int
) -> None:
    """95 times in 100, whatever the noise; three rounds give a wide interval, and an honest one."""
    rng = np.random.default_rng(2)
    found = [speedup(*compare(rng, noise, 0.05, effect, rounds, drift=0.3)) for _ in range(600)]
    held = np.mean([one.low <= effect <= one.high for one in found])  # type: ignore[union-attr, operator]
    assert held >= least - 2.5 * math.sqrt(0.05 * 0.95 / 600)


def verdicts(rng: np.random.Generator, noise: Noise, sd: float, effect: float) -> list[str | None]:
    """Of 300 comparisons at a focus batch size."""
    found = (speedup(*compare(rng, noise, sd, effect, FOCUS_ROUNDS)) for _ in range(300))
    return [verdict(one) for one in found if one]


def test_no_difference_is_seldom_called_one() -> None:
    """Comparing a recipe with itself: `faster` or `slower` in about 1 of 20, whatever the noise."""
    rng = np.random.default_rng(3)
    for noise in (normal, heavy, two_modes):
        said = verdicts(rng, noise, 0.05, 1.0)
        assert sum(word in ("faster", "slower") for word in said) <= len(said) * 0.08


def test_five_percent_is_found() -> None:
    """At a focus batch size with 3 % of noise between processes, 5 % is found in most runs, 10 % always."""
    rng = np.random.default_rng(4)
    for effect, least in ((1 / 1.05, 0.6), (1 / 1.10, 0.99)):
        assert np.mean([word == "slower" for word in verdicts(rng, normal, 0.03, effect)]) >= least
