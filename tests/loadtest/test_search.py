"""The highest rate that holds, on systems whose limit is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.loadtest.search import MOST_DOUBLINGS, MOST_HALVINGS, TOLERANCE, highest_rate

MOST_TRIES = 2 + MOST_DOUBLINGS + math.ceil(math.log2(math.log(2) / math.log(1 + TOLERANCE)))


@given(limit=st.floats(0.1, 1e5), off=st.floats(1 / 30, 1000))
def test_it_ends_just_below_the_limit(limit: float, off: float) -> None:
    """Wherever it starts, the answer holds, a rate 5 % higher doesn't, and few rates are tried."""
    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    start = limit / off
    found = highest_rate(holds, start)
    assert found is not None
    assert found in tried
    assert found <= limit < found * (1 + TOLERANCE) * (1 + 1e-9)
    assert len(tried) == len(set(tried)) <= MOST_TRIES


@given(service_ms=st.floats(0.5, 100), slack=st.floats(1.5, 50), share=st.floats(0.1, 2))
def test_a_queue_is_driven_to_its_bound(service_ms: float, slack: float, share: float) -> None:
    """A queue of one server (M/M/1: p99 of its time in the system is ln 100 / (service - arrivals))."""
    capacity, bound_s = 1000 / service_ms, slack * math.log(100) * service_ms / 1000

    def holds(rate: float) -> bool:
        return rate < capacity and math.log(100) / (capacity - rate) <= bound_s

    found = highest_rate(holds, share * capacity)
    exact = capacity - math.log(100) / bound_s
    assert found is not None
    assert exact / (1 + TOLERANCE) * (1 - 1e-9) <= found <= exact * (1 + 1e-9)


@given(st.lists(st.booleans(), min_size=40, max_size=40))
def test_noise_neither_holds_it_up_nor_makes_an_answer_up(answers: list[bool]) -> None:
    """Whatever each try says, the search ends, with a rate that held when it was tried."""
    held: dict[float, bool] = {}

    def holds(rate: float) -> bool:
        held[rate] = answers[len(held)]
        return held[rate]

    found = highest_rate(holds, 10.0)
    assert held[found] if found is not None else not any(held.values())


@pytest.mark.parametrize(("always", "found"), [(False, None), (True, 2.0**MOST_DOUBLINGS)])
def test_it_gives_up(*, always: bool, found: float | None) -> None:
    """A system that holds nothing has no answer; one that holds everything has the last that was tried."""
    tries: list[float] = []
    assert highest_rate(lambda rate: bool(tries.append(rate)) or always, 1.0) == found
    assert min(tries) == (1.0 if always else 2.0**-MOST_HALVINGS)
