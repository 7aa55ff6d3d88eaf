"""What counts as a disturbance of a timed slice, and what doesn't."""

from __future__ import annotations

import itertools
import math
import os
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.machine import counters
from densebench.machine.counters import JIFFY_S, Counters, added
from densebench.machine.interference import (
    Interference,
    Watch,
    on_the_host,
    others_cpus,
    others_said,
    rounding_s,
    steal,
    told,
)
from tests.machine.kernel import Kernel, frozen, kernel

__all__ = ["frozen", "kernel"]

START = Counters(clock_s=100.0, own_s=5.0, busy_s=50.0, stolen_s=1.0, swapped_pages=7, hot=2, throttled_s=3.0)


def after(seconds: float = 10.0, own: float = 0.0, others: float = 0.0, **more: float) -> Counters:
    """The reading after a slice of so long, in which this process and others used so much CPU time."""
    return replace(
        START,
        clock_s=START.clock_s + seconds,
        own_s=START.own_s + own,
        busy_s=START.busy_s + own + others,
        **{name: getattr(START, name) + value for name, value in more.items()},
    )


@pytest.fixture(autouse=True)
def load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load average, which is told for context."""
    monkeypatch.setattr(os, "getloadavg", lambda: (3.14, 0.0, 0.0))


def said(then: Counters, cpus: int = 2, threads: int = 2) -> str:
    """What is told of the time between the two readings."""
    return told(on_the_host(START, then, cpus, threads))


def test_a_slice_alone_is_undisturbed() -> None:
    """One that keeps its CPUs busy, one that waits, and one of no length."""
    assert said(after(10, own=20)) == ""
    assert said(after(10, own=0.1)) == ""
    assert said(START) == ""


def test_other_processes_are_told() -> None:
    """Their share is what was used and not by this process."""
    assert said(after(10, own=15.8, others=4.2)) == "other processes took 0.42 of 2 cores (load average 3.1)"
    assert said(after(10, own=19.5, others=0.5)) == ""


def test_others_on_spare_cpus_do_less_harm() -> None:
    """With one thread on eight CPUs, others may use some; with eight threads they may not."""
    assert said(after(10, own=10, others=20), cpus=8, threads=1) == ""
    assert said(after(10, own=60, others=20), cpus=8, threads=8) != ""
    assert said(after(10, own=10, others=60), cpus=8, threads=1) != ""


@given(st.floats(0.001, 20), st.integers(1, 64), st.integers(0, 64), st.data())
def test_rounding_is_no_disturbance(seconds: float, cpus: int, threads: int, data: st.DataObject) -> None:
    """However short the slice, a jiffy at either end of each CPU's counter says nothing."""
    own = data.draw(st.floats(0, seconds * cpus))
    error = data.draw(st.floats(-2 * cpus, 2 * cpus)) * JIFFY_S
    then = after(seconds, own=own, others=error, stolen_s=abs(error))
    assert said(then, cpus, threads) == ""


def test_a_short_slice_needs_more_to_be_disturbed() -> None:
    """Two jiffies of others' work in 50 ms may be rounding; five are not. In 10 s the same share is none."""
    assert said(after(0.05, own=0.08, others=2 * JIFFY_S)) == ""
    assert said(after(0.05, own=0.0, others=6 * JIFFY_S)) != ""
    assert said(after(10, own=16, others=400 * JIFFY_S)) != ""


def counted(rng: random.Random, seconds: float, own: float, others: float, *, alike: bool) -> Counters:
    """A slice on two CPUs: what the kernel's ticks see, and the exact CPU time of this process.

    Args:
        rng: when the slice begins within a tick, and who runs at each.
        seconds: its length.
        own: share of its two threads' time in which they run.
        others: how many CPUs another program uses, which it takes from them.
        alike: its threads run and wait together.

    """
    busy = 0
    for _ in range(math.floor(rng.random() + seconds / JIFFY_S)):
        first, second = rng.random(), rng.random()
        ours = (first < own) + ((first if alike else second) < own)
        theirs = rng.random() < others
        busy += max(ours, min(2, ours + theirs))
    taken = own * others  # of a busy CPU what the others have is not this process's
    return Counters(clock_s=seconds, own_s=(2 * own - taken) * seconds, busy_s=busy * JIFFY_S)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("own", [1.0, 0.9, 0.7, 0.2])
@pytest.mark.parametrize("seconds", [0.025, 0.042, 0.307])
def test_over_many_slices_rounding_cancels(seconds: float, own: float, *, alike: bool) -> None:
    """Alone hardly any series of slices is disturbed."""
    rng, slices, runs = random.Random(1), 24, 200
    series = (added(counted(rng, seconds, own, 0.0, alike=alike) for _ in range(slices)) for _ in range(runs))
    assert sum(bool(others_said(span, 2, 2, slices)) for span in series) <= 0.03 * runs


@pytest.mark.parametrize("own", [1.0, 0.9])
def test_over_many_slices_a_program_shows(own: float) -> None:
    """One that has half a core, in most series of two dozen slices of 50 ms; in hardly any of the slices."""
    rng, slices, runs = random.Random(1), 24, 100
    series = [[counted(rng, 0.05, own, 0.5, alike=True) for _ in range(slices)] for _ in range(runs)]
    assert sum(bool(others_said(added(spans), 2, 2, slices)) for spans in series) >= 0.9 * runs
    assert sum(bool(others_said(one, 2, 2)) for spans in series for one in spans) <= 0.01 * runs * slices


def test_a_watch_tells_of_slices_together(frozen: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two fifths of a core in slices of 50 ms; what else they had is for each to tell."""
    clock = itertools.count()
    monkeypatch.setattr(counters.time, "perf_counter", lambda: 0.05 * next(clock))
    watch = Watch(threads=2)
    assert watch.together([]) == ()
    busy_s, spans = 0.0, []
    for number in range(24):
        watch.begin()
        busy_s += 0.02 * (number % 2 == 0)
        frozen.cpus((0, busy_s, 9 * number), (1, busy_s, 0))
        frozen.write("vmstat", f"pswpin {200 * number}")
        spans.append((watch.end(), watch.span)[1])
    assert told(watch.together(spans)) == "other processes took 0.40 of 2 cores (load average 3.1)"
    assert watch.together(spans[:1]) == ()


@given(st.floats(0, 100), st.floats(-5, 100), st.floats(-5, 100), st.integers(1, 64))
def test_others_are_never_negative_nor_more_than_there_is(
    seconds: float, own: float, others: float, cpus: int
) -> None:
    """Whatever the counters say, even that this process used more than everybody."""
    then = after(seconds, own=own, others=others)
    span = then.since(START)
    assert 0 <= others_cpus(span, cpus) <= cpus
    assert rounding_s(span, cpus, 1) >= 2 * cpus * JIFFY_S


def test_stolen_time_is_told() -> None:
    """As a share of what was wanted: 0.6 s of 20, but not 0.2 s of them, nor a jiffy of a short slice."""
    assert said(after(10, own=19.4, stolen_s=0.6)) == "3 % of the CPU time stolen by the host"
    assert said(after(10, own=19.8, stolen_s=0.2)) == ""
    assert said(after(0.05, own=0.09, stolen_s=JIFFY_S)) == ""


def test_swapping_throttling_and_heat_are_told() -> None:
    """Each by its own rule; a few pages and a thousandth of the time are nothing."""
    assert said(after(swapped_pages=5000)) == "5000 pages swapped"
    assert said(after(swapped_pages=10)) == ""
    assert said(after(throttled_s=0.5)) == "the container's CPU limit held work back for 0.50 s"
    assert said(after(throttled_s=0.01)) == ""
    assert said(after(hot=1)) == "the CPU slowed down because it was hot"


@pytest.mark.parametrize(
    ("before", "then", "expected"),
    [
        (3100.0, 2000.0, "the CPU's clock fell from 3100 to 2000 MHz"),
        (3100.0, 3000.0, ""),
        (2000.0, 3100.0, ""),
        (None, 2000.0, ""),
        (3100.0, None, ""),
    ],
)
def test_a_falling_clock_is_told(before: float | None, then: float | None, expected: str) -> None:
    """By more than a tenth; a rise, a small step and a clock that can't be read are nothing."""
    first, second = replace(START, clock_mhz=before), replace(after(), clock_mhz=then)
    assert told(on_the_host(first, second, 2, 2)) == expected
    elsewhere = replace(second, clock_cpu=1)  # perhaps a core of another kind
    assert on_the_host(replace(first, clock_cpu=0), elsewhere, 2, 2) == []


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    ("at_work", "expected"), [(False, ""), (True, "the CPU's clock fell from 3100 to 2000 MHz")]
)
def test_the_clock_of_a_cpu_at_rest_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, *, at_work: bool, expected: str
) -> None:
    """Alone a CPU may run faster than all do together."""
    clocks = iter([(3100.0, 0), (2000.0, 0)])
    monkeypatch.setattr(counters, "_clock", lambda: next(clocks))
    watch = Watch(threads=2)
    watch.begin(at_work=at_work)
    assert told(watch.end()) == expected


def test_a_watch_looks_before_and_after(frozen: Kernel) -> None:
    """Everything that happened between the two looks is in one line, with the load average for context."""
    watch = Watch(threads=2)
    watch.begin()
    frozen.cpus((0, 6, 1), (1, 0, 0))
    assert watch.end() == (
        Interference(kind="others", text="other processes took 0.60 of 2 cores (load average 3.1)"),
        Interference(kind="steal", text="14 % of the CPU time stolen by the host"),
    )
    assert watch.span.stolen_s == pytest.approx(1)


def test_a_timer_judges_stolen_time_by_itself(frozen: Kernel) -> None:
    """A slice loses more by it than the kernel's grain lets a watch be sure of; it isn't told twice."""
    watch = Watch(threads=2, steal=False)
    watch.begin()
    frozen.cpus((0, 0, 1), (1, 0, 0))
    assert watch.end() == ()
    assert steal(watch.span).text == "100 % of the CPU time stolen by the host"


def test_a_load_average_alone_is_no_disturbance(frozen: Kernel) -> None:
    """It tells of the minute before, not of the slice."""
    watch = Watch(threads=2)
    watch.begin()
    assert watch.end() == ()


def test_a_machine_that_tells_nothing_is_watched_in_silence(kernel: Kernel) -> None:
    """Neither files nor a driver: no error, and nothing said."""
    for device in ("cpu", "cuda"):
        watch = Watch(device)
        watch.begin()
        assert watch.end() == ()


def test_this_machine_can_be_watched() -> None:
    """The real files; the same watch serves slice after slice."""
    watch = Watch("cpu", threads=1)
    for _ in range(2):
        watch.begin()
        sum(range(100_000))
        assert all(one.text for one in watch.end())
