"""Whether the host runs the CPUs at full speed: what counts as less, how long is waited, who looks at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from densebench.measure import cores
from densebench.measure.cores import (
    LOOKS,
    SLOWED,
    TOGETHER,
    WAIT_S,
    WAKING,
    Cores,
    Speed,
    full_speed_us,
    open_cores,
    survey,
)

FULL_US, SHARED_US = 240.0, 480.0


class Scripted(Cores):
    """Each look finds the next of these times, then the last one again."""

    def __init__(self, *found_us: float, known_us: float | None = None) -> None:
        self.found_us = list(found_us)
        self.looks = 0
        self.looks_us = []
        self._told = 0
        self._known_us = known_us
        self._hope = True

    def _look(self) -> bool:
        self._last_us = self.found_us[min(self.looks, len(self.found_us) - 1)]
        self.looks += 1
        return True


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for, on a clock that goes on by what is slept."""
    slept: list[float] = []
    monkeypatch.setattr(cores, "comes_to_rest", lambda: slept.append(0.0))
    monkeypatch.setattr(cores.time, "sleep", slept.append)
    monkeypatch.setattr(cores.time, "monotonic", lambda: sum(slept))
    return slept


def test_full_speed_is_nothing_to_tell(waited: list[float]) -> None:
    """One look suffices, up to 1.6 times the shortest."""
    own = Scripted(FULL_US, 1.5 * FULL_US)
    assert own.speed() == own.speed() == Speed()
    assert (own.looks, waited) == (2, [])


def test_a_model_whose_threads_spin_on_is_not_the_host(waited: list[float]) -> None:
    """They take the CPUs too; once they rest, the piece is as quick as ever. That was a pause."""
    own = Scripted(SHARED_US, FULL_US, known_us=FULL_US)
    assert own.speed() == Speed(paused=True)
    assert waited == [0.0]


def test_a_clock_that_must_rise_first_is_not_the_host(waited: list[float]) -> None:
    """It slowed down in the rest: some looks in a row are believed, not the first."""
    own = Scripted(*[SHARED_US] * WAKING, FULL_US, known_us=FULL_US)
    assert own.speed() == Speed(paused=True)


def test_a_shared_core_is_told_and_waited_for(waited: list[float]) -> None:
    """By how fast the CPUs are; it ends before the next call."""
    own = Scripted(*[SHARED_US] * (3 * WAKING), FULL_US, known_us=FULL_US)
    assert own.speed() == Speed("CPUs ran at 50 % of their speed", full=True, paused=True)
    assert own.looks == 3 * WAKING + 1  # until they are fast again
    assert own.speed() == Speed()


def test_what_does_not_end_is_not_waited_for(waited: list[float]) -> None:
    """Two seconds, and not again before the CPUs have been at full speed; who asks decides what becomes of calls."""
    own = Scripted(SHARED_US, known_us=FULL_US)
    assert own.speed() == Speed("CPUs ran at 50 % of their speed", full=False, paused=True)
    assert WAIT_S <= sum(waited) < 1.1 * WAIT_S
    waited.clear()
    assert not own.speed().full
    assert waited == [0.0]
    own.found_us = [FULL_US]
    assert own.speed() == Speed()
    own.found_us = [SHARED_US]
    assert not own.speed().full
    assert sum(waited) >= WAIT_S


def test_a_machine_that_was_never_faster_is_not_slow() -> None:
    """Speed is compared with the best seen, which a process may have been told."""
    own = Scripted(SHARED_US)
    assert own.speed() == Speed()
    assert own.quiet_us == SHARED_US


def test_full_speed_is_what_one_look_in_twenty_is_below() -> None:
    """The very quickest is an accident: on a host that always has others half of all calls were left out by it."""
    usual = [1.5 * FULL_US, *[1.7 * FULL_US] * 18]
    assert full_speed_us([FULL_US, *usual]) == 1.5 * FULL_US
    assert full_speed_us([FULL_US, FULL_US, *usual[:-1]]) == FULL_US
    assert full_speed_us([FULL_US]) == FULL_US
    assert full_speed_us([]) is None
    own = Scripted(FULL_US, 1.7 * FULL_US, known_us=full_speed_us([FULL_US, *usual]))
    assert own.speed() == own.speed() == Speed()


def test_looks_that_wait_for_full_speed_do_not_decide_what_it_is(waited: list[float]) -> None:
    """They are many, and end with the first quick one: only those count that come anyway."""
    own = Scripted(*[SHARED_US] * (2 * WAKING), FULL_US, SHARED_US, FULL_US, known_us=FULL_US)
    assert own.speed().said
    assert own.news() == (SHARED_US,)
    own.speed()
    assert own.news() == (SHARED_US,)
    assert own.news() == ()


def test_the_survey_looks_for_as_long_as_a_core_may_be_shared(waited: list[float]) -> None:
    """Two seconds, each time until the clock is up: the last look of some in a row."""
    risen = [SLOWED * 1.1 * FULL_US, FULL_US, FULL_US]
    own = Scripted(*risen * LOOKS)
    assert full_speed_us(survey(own)) == FULL_US
    assert sum(waited) == pytest.approx(WAIT_S)
    assert survey(None) == ()


def test_cpus_that_were_not_seen_at_once_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone a piece is quicker, where two CPUs are one core: that must not be taken for their speed together."""
    own = Cores(known := 10.0)
    pieces = iter([(0.0, 1.0, 5.0), (1.5, 2.5, 5.0)] * (2 * TOGETHER))

    class Pool:
        def map(self, *_: object) -> list[tuple[float, float, float]]:
            return [next(pieces), next(pieces)]

    monkeypatch.setattr(own, "_pool", Pool())
    assert own.look() == 5.0
    assert (own.quiet_us, own.looks_us) == (known, [])
    pieces = iter([(0.0, 1.0, 5.0), (0.5, 1.5, 6.0)])
    assert own.look() == 6.0
    assert own.looks_us == [6.0]


def test_each_cpu_has_a_thread_of_its_own() -> None:
    """All compute at once on real CPUs, and stay where they are; the thread that asks is left alone."""
    allowed = os.sched_getaffinity(0)
    before = set(_threads())
    own = Cores()
    found_us = own.look()
    assert 0 < own.quiet_us <= found_us < 1e6
    bound = [_cpus(thread) for thread in set(_threads()) - before]
    assert {frozenset({cpu}) for cpu in allowed} <= set(bound)
    assert os.sched_getaffinity(0) == allowed


def test_who_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a host can share cores; a GPU, or who uses fewer CPUs, isn't held up by all; many aren't seen at once."""
    allowed = os.sched_getaffinity(0)
    monkeypatch.setattr(cores, "has_host", lambda cpus: True)
    found = open_cores("cpu", len(allowed), 7.0)
    assert found is not None
    assert found.quiet_us == 7.0
    assert open_cores("cuda", len(allowed)) is None
    assert open_cores("cpu", len(allowed) - 1) is None
    monkeypatch.setattr(cores, "MOST_CPUS", len(allowed) - 1)
    assert open_cores("cpu", len(allowed)) is None
    monkeypatch.undo()
    monkeypatch.setattr(cores, "has_host", lambda cpus: False)
    assert open_cores("cpu", len(allowed)) is None


def _threads() -> list[int]:
    return [int(one.name) for one in Path("/proc/self/task").iterdir()]


def _cpus(thread: int) -> frozenset[int]:
    return frozenset(os.sched_getaffinity(thread))
