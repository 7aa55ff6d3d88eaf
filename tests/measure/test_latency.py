"""How a stream of single calls is warmed up, sampled and refused, on a device whose clock is a list."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.errors import Unavailable
from densebench.measure.cores import Speed
from densebench.measure.latency import (
    LEAST_SAMPLES,
    LEAST_WARM_UP,
    MOST_WARM_UP,
    Budget,
    calls_of,
    check_affordable,
    sample,
    settle,
    warm_up,
)
from densebench.turns import part_of


class ScriptedDevice:
    """Calls take the times in the list, then `steady` ms each. Nothing sleeps."""

    name = "scripted"

    def __init__(self, times_ms: list[float], steady: float = 10.0) -> None:
        self.times: Iterator[float] = iter(times_ms)
        self.steady = steady
        self.timed: list[float] = []
        self.calls = 0

    def call(self) -> None:
        self.calls += 1

    def synchronize(self) -> None:
        pass

    def time_ms(self, call: Callable[[], object]) -> float:
        call()
        self.timed.append(next(self.times, self.steady))
        return self.timed[-1]

    def reset_peak(self) -> None:
        pass

    def peak_mb(self) -> tuple[None, None]:
        return None, None


def run(times_ms: list[float], sample_s: float = 0.0, timeout_s: float = 1e9) -> tuple[ScriptedDevice, int]:
    """Warm up and sample on a scripted device; return it and how many calls were warm-up."""
    device = ScriptedDevice(times_ms)
    budget = Budget(sample_s, timeout_s)
    call_ms = warm_up(device.call, device, budget)
    samples = sample(device.call, device, budget, calls_of(budget, call_ms)).kept_ms
    warm = len(device.timed) - len(samples)
    assert samples == tuple(device.timed[warm:])
    assert device.calls == len(device.timed)
    return device, warm


@pytest.mark.parametrize(
    ("times", "warm"),
    [
        ([10.0, 10.0, 10.0, 10.0], 4),  # quick and steady from the first call: four all the same
        ([3000.0, 3100.0], 2),  # slow and steady: two
        ([300.0, 10.0, 10.2, 10.4], 4),  # within 5 % of the fastest before it
        ([300.0, 10.0, 10.2, 10.6, 10.5], 5),  # 6 % is not, 5 % is
        ([400.0, 250.0, 170.0, 170.0], 4),  # still getting faster: not settled
        ([4000.0, 3100.0, 2000.0, 2000.0], 2),  # calls this long need only agree roughly
        ([4000.0, 2000.0, 2000.0], 3),  # which these don't at first
        ([10.0, 20.0, 20.0, 20.0, 10.2], 5),  # slower than the fastest one, however steady
    ],
)
def test_warm_up_ends_when_two_calls_agree(times: list[float], warm: int) -> None:
    """Warm-up goes on until a call is within 5 % of the fastest before it, and takes four where they are quick."""
    assert run(times)[1] == warm


@pytest.mark.parametrize(
    ("first_ms", "expected_ms", "calls"),
    [
        (1800.0, 1000.0, 0),
        (2100.0, 1000.0, 1),  # it may have compiled
        (1800.0, 0.0, 1),  # nothing was expected of the first batch size
        (400.0, 300.0, 4),  # quick calls cost nothing
    ],
)
def test_a_long_first_inference_like_the_others_is_warm_up_enough(
    first_ms: float, expected_ms: float, calls: int
) -> None:
    """It took about as long as the batch size before makes expect, so nothing was compiled in it."""
    device = ScriptedDevice([], steady=1800.0 if first_ms > 1000 else 100.0)
    warm_up(device.call, device, Budget(1.0, 100.0), first_ms, expected_ms)
    assert device.calls == calls


@pytest.mark.parametrize(("call_ms", "calls"), [(100.0, 6), (250.0, 3), (800.0, 2)])
def test_a_block_is_as_many_calls_as_fill_it(call_ms: float, calls: int) -> None:
    """Two at least: of three processes that makes the five that a median takes."""
    assert calls_of(Budget(0.6, 100.0), call_ms) == calls


@pytest.mark.parametrize(("slow_reason", "calls"), [("FP16 is emulated here", 0), ("", 1)])
def test_of_what_is_known_to_be_slow_a_long_first_inference_is_warm_up_enough(
    slow_reason: str, calls: int
) -> None:
    """Whatever other batch sizes took; one that would not fit decides nothing, as it may have compiled."""
    device = ScriptedDevice([], steady=3000.0)
    assert warm_up(device.call, device, Budget(0.5, 100.0, slow_reason), 3000.0) == 3000.0
    assert device.calls == calls
    warm_up(device.call, device, Budget(0.5, 100.0, slow_reason), 90_000.0)
    assert device.calls > calls


def test_a_long_first_inference_alone_refuses_nothing() -> None:
    """It may be slow by chance: the call after it decides."""
    device = ScriptedDevice([], steady=1000.0)
    assert warm_up(device.call, device, Budget(1.0, 10.0), 2500.0, 2000.0) == 1000.0
    with pytest.raises(Unavailable, match=r"3\.0 s a batch"):
        warm_up(lambda: None, ScriptedDevice([], steady=3000.0), Budget(1.0, 10.0), 2500.0, 2000.0)


def test_warm_up_is_bounded() -> None:
    """A machine that never settles is measured after 30 calls."""
    assert run([1.0, *[50.0] * 100])[1] == MOST_WARM_UP == 30


@given(
    st.lists(st.floats(0.1, 1000), max_size=60),
    st.floats(0, 2),
)
def test_samples_are_as_many_as_the_warm_up_said(times: list[float], sample_s: float) -> None:
    """Whatever the latencies: 2 to 30 warm-up calls, then as many as fill the seconds at the last one's speed."""
    device, warm = run(times, sample_s)
    samples = device.timed[warm:]
    assert LEAST_WARM_UP <= warm <= MOST_WARM_UP
    assert len(samples) == max(LEAST_SAMPLES, math.ceil(1000 * sample_s / device.timed[warm - 1]))


def test_a_slow_moment_makes_no_fewer_calls() -> None:
    """A block that ended with its time would have fewer of the slow ones, and so a mean that is too low."""
    for times in ([10.0] * 4, [10.0] * 4 + [30.0] * 50):
        device, warm = run(times, sample_s=0.1)
        assert len(device.timed[warm:]) == 10


def test_half_of_the_process_s_time_is_enough() -> None:
    """A machine that gets much slower doesn't bring the process to its end."""
    device = ScriptedDevice([], steady=1000.0)
    found = sample(device.call, device, Budget(1.0, 10.0), 100)
    assert (len(found.kept_ms), found.disturbance) == (5, "")


@pytest.mark.parametrize(
    ("times", "most_ms", "calls"),
    [
        ([30.0, 20.0, 20.5], 1000, 3),
        ([30.0, 20.0, 25.0, 25.0], 1000, 3),
        ([30.0, 30.0], 1000, 2),
        ([90.0], 60, 1),
        ([150.0], 1000, 0),
    ],
)
def test_a_pause_is_followed_by_calls_that_do_not_count(
    times: list[float], most_ms: float, calls: int
) -> None:
    """One at least, three at most: until two agree, or there is no time for another; none where they are long."""
    device = ScriptedDevice(times)
    settle(device.call, device, most_ms, times[0])
    assert device.calls == calls


def test_the_warm_up_is_not_in_the_samples() -> None:
    """Slow first calls, such as those that compile, leave no trace in the figures."""
    device, warm = run([90_000.0, 5_000.0, 10.0, 10.0], sample_s=0.5)
    assert warm == 4
    assert set(device.timed[warm:]) == {10.0}


def test_a_cell_that_would_not_fit_is_refused_with_its_seconds() -> None:
    """The first call predicts the cell; too slow is a skip that says how slow, why, and which limit."""
    device = ScriptedDevice([26_800.0])
    with pytest.raises(Unavailable) as refusal:
        warm_up(device.call, device, Budget(3.0, 60.0, "FP16 is emulated here"))
    assert (
        str(refusal.value)
        == "FP16 is emulated here: 26.8 s a batch, so 107 s would come too near --cell-timeout"
    )
    assert device.calls == 1


def test_a_refusal_without_a_known_reason_says_so() -> None:
    """A recipe that gives no reason for being slow is just too slow here."""
    with pytest.raises(Unavailable, match=r"^too slow here: 20\.0 s a batch"):
        check_affordable(20_000, Budget(3.0, 60.0))


def test_what_fits_is_not_refused() -> None:
    """Up to nine tenths of the limit, warm-up and least samples included, a cell is measured."""
    calls = LEAST_WARM_UP + LEAST_SAMPLES
    fits_ms = 1000 * 0.9 * 120 / calls
    check_affordable(fits_ms - 1, Budget(3.0, 120.0))
    with pytest.raises(Unavailable):
        check_affordable(fits_ms + 1, Budget(3.0, 120.0))


def test_of_what_is_emulated_all_processes_must_fit() -> None:
    """Three processes of many seconds a batch are minutes, for a row known to be slow; others have a limit each."""
    three = Budget(1.0, 120.0, "FP16 is emulated here", processes=3)
    with pytest.raises(
        Unavailable, match=r"^FP16 is emulated here: 13\.4 s a batch, so 161 s in 3 processes would come"
    ):
        check_affordable(13_400.0, three)
    check_affordable(6_700.0, three)
    check_affordable(13_400.0, Budget(1.0, 120.0, processes=3))


def test_the_first_inference_is_a_call_of_the_warm_up() -> None:
    """A large batch that takes as long the first time isn't run a third time before it is timed."""
    device = ScriptedDevice([4300.0])
    assert warm_up(device.call, device, Budget(1.0, 120.0), first_ms=4400.0) == 4300.0
    assert device.calls == 1


def test_a_first_inference_that_compiles_predicts_nothing() -> None:
    """It may take a minute where the next takes a second: that one says whether the cell fits."""
    device = ScriptedDevice([1000.0, 1000.0])
    assert warm_up(device.call, device, Budget(1.0, 60.0), first_ms=90_000.0) == 1000.0
    assert device.calls == 2
    quick = ScriptedDevice([10.0] * 4)
    warm_up(quick.call, quick, Budget(1.0, 60.0), first_ms=90_000.0)
    assert quick.calls == 4


class Stolen:
    """A clock of stolen CPU time: what the calls since the last look lost is added."""

    def __init__(self, device: ScriptedDevice, *lost_ms: float, then: float = 0.0) -> None:
        self.device, self.seen = device, device.calls
        self.lost = iter(lost_ms)
        self.then = then
        self.total_ms = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        if self.device.calls > self.seen:
            self.seen = self.device.calls
            self.total_ms += next(self.lost, self.then)
        return self.total_ms / 1000


def test_calls_that_were_robbed_are_left_out() -> None:
    """By what was stolen, and not by how long they took."""
    device = ScriptedDevice([50.0, 500.0, 50.0, 51.0])
    found = sample(device.call, device, Budget(0.6, 100), 7, Stolen(device, 10, 0, 10), threads=2)
    assert found.kept_ms == (500.0, 51.0, *[10.0] * 5)
    assert (found.calls, found.disturbance) == (9, "")


def test_a_trifle_is_not_robbery() -> None:
    """2 % of a call's time, by which all of it may be late, however many threads it has."""
    device = ScriptedDevice([1000.0] * 2)
    found = sample(device.call, device, Budget(2, 100), 2, Stolen(device, 20, 20), threads=2)
    assert found.kept_ms == (1000.0, 1000.0)
    assert sample(device.call, device, Budget(0.02, 100), 2, Stolen(device, 21, 0), threads=2).calls == 3


def test_where_too_few_calls_are_left_all_of_them_count() -> None:
    """After three times the seconds of sampling; then the row says why it is disturbed."""
    device = ScriptedDevice([], steady=100.0)
    found = sample(device.call, device, Budget(1.0, 100), 10, Stolen(device, then=50), threads=2)
    assert found.kept_ms == (100.0,) * 30
    assert found.disturbance == "25 % of the CPU time stolen by the host"


def test_quick_calls_are_judged_together() -> None:
    """Stolen time is counted in steps of 10 ms: between two looks lies at least as much."""
    device = ScriptedDevice([], steady=1.0)
    stolen = Stolen(device, 10)
    found = sample(device.call, device, Budget(0.05, 100), 50, stolen)
    assert (len(found.kept_ms), found.calls) == (50, 60)
    assert stolen.looks == 1 + 6


def test_what_is_stolen_while_nothing_is_timed_concerns_no_call() -> None:
    """A look at the CPUs may wait for seconds between two stretches, with all CPUs at work."""
    device, stolen_s = ScriptedDevice([], steady=300.0), [0.0]

    def speed() -> Speed:
        stolen_s[0] += 0.5
        return Speed()

    found = sample(device.call, device, Budget(1.0, 100), 3, lambda: stolen_s[0], speed=speed)
    assert (found.kept_ms, found.calls, found.disturbance) == ((300.0,) * 3, 3, "")


SLOW = Speed("at half their speed", full=True, paused=True)


def looks(*found: Speed, then: Speed = SLOW) -> Callable[[], Speed]:
    """Look by look, then always the same."""
    each = iter(found)
    return lambda: next(each, then)


def test_calls_while_the_host_slowed_the_cpus_down_are_left_out() -> None:
    """A stretch of a quarter of a second at a time, by what the look after it finds; then a call settles first."""
    device = ScriptedDevice([50.0] * 5 + [90.0] * 3 + [33.0])
    found = sample(
        device.call, device, Budget(0.1, 100), 8, speed=looks(Speed(), Speed(), SLOW, then=Speed())
    )
    assert found.kept_ms == (50.0,) * 5 + (10.0,) * 3
    assert (found.calls, device.calls, found.disturbance) == (11, 12, "")


def test_calls_count_only_between_two_looks_at_full_speed() -> None:
    """A spell that wasn't waited for to its end may have ended in the middle of them."""
    device = ScriptedDevice([90.0, 90.0])
    still = Speed("at half their speed", full=False)
    found = sample(device.call, device, Budget(0.02, 100), 2, speed=looks(still, then=Speed()))
    assert (found.kept_ms, found.calls) == ((10.0, 10.0), 4)


def test_where_the_cpus_stay_slow_all_calls_count() -> None:
    """As where too much is stolen, and the row says why; of slow calls there are twice as many as asked for."""
    device = ScriptedDevice([], steady=100.0)
    found = sample(device.call, device, Budget(0.5, 100), 5, speed=looks())
    assert (found.kept_ms, found.disturbance) == ((100.0,) * 15, "at half their speed")
    slow = ScriptedDevice([], steady=3000.0)
    assert sample(slow.call, slow, Budget(0.5, 100), 2, speed=looks()).calls == 4


def test_calls_after_a_pause_settle_first() -> None:
    """Threads that spin on make each look one; a long call is hardly slower after it, and would cost as long."""
    rested = looks(then=Speed(paused=True))
    device = ScriptedDevice([], steady=50.0)
    found = sample(device.call, device, Budget(0.1, 100), 10, speed=rested)
    assert (found.calls, found.settled) == (10, 2)  # before each of two stretches
    assert device.calls == 10 + 2
    slow = ScriptedDevice([], steady=300.0)
    assert sample(slow.call, slow, Budget(0.1, 100), 2, speed=rested, call_ms=300.0).calls == 2
    assert slow.calls == 2


@pytest.mark.parametrize(("call_ms", "calls"), [(800.0, 1), (40.0, 3)])
def test_a_turn_needs_one_call(call_ms: float, calls: int) -> None:
    """A twelfth of the sampling, or one call that takes longer: other turns follow."""
    device = ScriptedDevice([], steady=call_ms)
    part = part_of(Budget(1.0, 100.0))
    assert sample(device.call, device, part, calls_of(part, call_ms)).kept_ms == (call_ms,) * calls
