"""A stream of calls: which of them are timed, what is left out, and what is added up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from densebench import stream
from densebench.measure.latency import Budget
from densebench.stream import Stream


class Machine:
    """A device on which each call takes 20 ms; the host takes as much of the CPU during those that are named."""

    name = "cpu"

    def __init__(self, robbed: set[int]) -> None:
        self.robbed = robbed
        self.calls = 0
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
    """One whose second, fourth and fifth call are robbed."""
    made = Machine({2, 4, 5})
    monkeypatch.setattr(stream, "stolen_clock", lambda cpus: lambda: made.stolen_s)
    return made


def test_robbed_calls_are_left_out(machine: Machine) -> None:
    """By the kernel's word; they are counted, and there are others in their place."""
    one = Stream(machine.call, machine, 1)
    found = one.block(Budget(0.06, 100.0))
    assert found.kept_ms == (20.0,) * 3  # the first, third and sixth
    assert (found.calls, one.calls, machine.calls) == (6, 6, 6)


def test_the_first_call_of_a_turn_is_not_timed(machine: Machine) -> None:
    """It is slow after a hand-over."""
    one = Stream(machine.call, machine, 1)
    assert one.turn(Budget(0.02, 100.0, least=1)).kept_ms == (20.0,)
    assert (one.calls, machine.calls) == (2, 3)  # the second call was robbed


@pytest.mark.parametrize(("meter", "spent_j"), [(Meter(), 10.0), ("no counter here", 0.0), (None, 0.0)])
def test_energy_is_that_of_the_blocks(machine: Machine, meter: Meter | str | None, spent_j: float) -> None:
    """Of all of them together, where there is a meter."""
    one = Stream(machine.call, machine, 1, meter)
    for _ in range(2):
        one.block(Budget(0.02, 100.0, least=1))
    assert one.spent_j == spent_j
    assert one.spent_s > 0
