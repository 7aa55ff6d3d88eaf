"""A stream of calls: which of them are timed, what is left out, and what is added up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from densebench import stream
from densebench.measure.cores import Speed
from densebench.measure.counters import Counters
from densebench.measure.latency import Budget
from densebench.stream import Stream


class Machine:
    """A device on which each call takes 20 ms; the host takes as much of the CPU during those that are named."""

    name = "cpu"

    def __init__(self, robbed: set[int]) -> None:
        self.robbed = robbed
        self.calls = 0
        self.rests: list[int] = []
        self.stolen_s = 0.0

    def call(self) -> None:
        self.calls += 1
        self.stolen_s += 0.02 * (self.calls in self.robbed)

    def time_ms(self, call: Callable[[], object]) -> float:
        call()
        return 40.0 if self.calls in self.robbed else 20.0

    def synchronize(self) -> None:
        pass

    def reset_peak(self) -> None:
        pass

    def peak_mb(self) -> tuple[None, None]:
        return None, None


class Meter:
    """Five joules more at each look."""

    method = "a meter"

    def __init__(self) -> None:
        self.read = 0

    def read_j(self) -> float:
        self.read += 5
        return self.read


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One whose second, fourth and fifth call after two of warm-up are robbed."""
    made = Machine({4, 6, 7})
    monkeypatch.setattr(stream, "stolen_clock", lambda cpus: lambda: made.stolen_s)
    monkeypatch.setattr(stream, "comes_to_rest", lambda: made.rests.append(made.calls))
    return made


def warm(machine: Machine, meter: Meter | str | None = None) -> Stream:
    """A stream on it, after its warm-up."""
    one = Stream(machine.call, machine, 1, meter)
    machine.calls = 2
    one.call_ms = 20.0
    return one


def test_robbed_calls_are_left_out(machine: Machine) -> None:
    """By the kernel's word; they are counted, and there are others in their place."""
    one = warm(machine)
    found = one.block(Budget(0.06, 100.0))
    assert found.kept_ms == (20.0,) * 3  # the first, third and sixth
    assert (found.calls, one.calls, machine.calls) == (6, 6, 8)


def test_memory_that_calls_take_anew_is_counted(machine: Machine) -> None:
    """Pages that are touched in timed calls, and not what is touched between blocks."""
    import mmap

    one, pages = warm(machine), 4000
    kept = []

    def call() -> None:
        fresh = mmap.mmap(-1, pages * mmap.PAGESIZE)
        fresh.madvise(mmap.MADV_NOHUGEPAGE)
        fresh.write(b"1" * len(fresh))
        kept.append(fresh)

    one.block(Budget(0.06, 100.0))
    before = one.page_faults
    call()
    one.block(Budget(0.06, 100.0))
    assert one.page_faults - before < pages
    machine.call = call  # type: ignore[method-assign]
    two = warm(machine)
    two.block(Budget(0.06, 100.0))
    assert two.page_faults / two.ran >= pages
    assert before / one.calls < pages / 10


def test_the_warm_up_says_how_many_calls_fill_a_block(machine: Machine) -> None:
    """Its last call, not those of the block."""
    machine.robbed.clear()
    one = Stream(machine.call, machine, 1)
    assert one.warm_up(Budget(0.1, 100.0)) == 20.0
    assert machine.rests == []  # so that a block that follows is timed at work
    assert len(one.block(Budget(0.1, 100.0)).kept_ms) == 5


def test_a_turn_ends_at_rest_and_its_first_calls_are_not_timed(machine: Machine) -> None:
    """So that the next one begins at rest, whosever it is; the first call after a hand-over is slow."""
    one = warm(machine)
    found = one.turn(Budget(0.02, 100.0, least=1))
    assert (found.kept_ms, found.warm_ms) == ((20.0,), 20.0)
    assert (one.calls, machine.calls) == (2, 5)  # one that settles, one that was robbed
    assert machine.rests == [5]


def test_between_long_calls_none_is_left_untimed(machine: Machine) -> None:
    """The first is hardly slower; but of two that are nearly as fast both do alike, so that neither is favoured."""
    machine.robbed.clear()
    cases = (
        (200.0, 200.0, 0),
        (200.0, 120.0, 1),
        (120.0, 200.0, 1),
        (400.0, 20.0, 0),
        (20.0, 400.0, 1),
        (200.0, 0.0, 0),
        (20.0, 0.0, 1),
    )
    for own_ms, other_ms, untimed in cases:
        one = warm(machine)
        one.call_ms = own_ms
        one.turn(Budget(0.02, 100.0, least=1), other_ms)
        assert machine.calls == 2 + untimed + 1


class Shared:
    """CPUs that share a core whenever they are looked at, which is noted with the calls so far."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.looks: list[int] = []

    def speed(self) -> Speed:
        self.looks.append(self.machine.calls)
        return Speed("at half their speed")


def test_the_cpus_are_looked_at_before_a_block_and_after(machine: Machine) -> None:
    """Before a turn's untimed calls too, so that these don't come before a wait."""
    machine.robbed.clear()
    shared = Shared(machine)
    one = Stream(machine.call, machine, 1, Meter(), shared)  # type: ignore[arg-type]
    machine.calls, one.call_ms = 2, 20.0
    found = one.block(Budget(0.02, 100.0, least=1))
    assert found.disturbance == "at half their speed"
    assert shared.looks == [2, 3, 4, 5]
    assert found.spent_j == 5 * (1 + 2 * 4) - 5 * 4  # what the looks took is no model's
    shared.looks.clear()
    one.turn(Budget(0.02, 100.0, least=1))
    assert shared.looks == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(("meter", "spent_j"), [(Meter(), 5.0), ("no counter here", 0.0), (None, 0.0)])
def test_each_block_has_its_energy(machine: Machine, meter: Meter | str | None, spent_j: float) -> None:
    """Where there is a meter; of turns that are left out it must not count."""
    one = warm(machine, meter)
    for _ in range(2):
        found = one.block(Budget(0.02, 100.0, least=1))
        assert found.spent_j == spent_j
        assert found.spent_s > 0


def test_what_the_watch_sees_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what was stolen."""

    class Seeing:
        span = Counters()

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def begin(self, *, at_work: bool) -> None:
            pass

        def end(self) -> str:
            return "a backup"

    monkeypatch.setattr(stream, "Watch", Seeing)
    machine.robbed.clear()
    assert warm(machine).block(Budget(0.02, 100.0)).disturbance == "a backup"
