"""Which batch sizes share a process: each begins one in time, and no process serves a smaller one after a larger."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.beginnings import in_processes
from densebench.blocks import Cell
from densebench.recipe import resolve
from tests.factory import block, in_one_process

Plan = list[list[tuple[int, ...]]]


def rounds_of(least: dict[int, int]) -> Plan:
    """The batch sizes of each process, round by round, of one recipe that is measured to its end."""
    recipe = resolve("eager", {})
    cells = [Cell(recipe, size, {}) for size in least]
    rounds: Plan = []
    while wanted := [cell for cell in cells if cell.count < least[cell.batch_size] or not cell.fresh]:
        processes = in_processes(wanted, least.__getitem__)
        for process in processes:
            told = in_one_process({cell.batch_size: block((1.0,)) for cell in process})
            for cell in process:
                cell.blocks.append(told[cell.batch_size])
                cell.rounds.append(len(rounds))
        rounds.append([tuple(cell.batch_size for cell in process) for process in processes])
    return rounds


@given(st.dictionaries(st.integers(1, 64), st.integers(1, 6), min_size=1, max_size=7))
def test_each_begins_a_process_within_its_rounds(least: dict[int, int]) -> None:
    """No more rounds than asked for, no process that goes back, and no more processes than there must be."""
    rounds = rounds_of(least)
    processes = list(chain.from_iterable(rounds))
    assert {process[0] for process in processes} == {*least}
    assert all(a < b for process in processes for a, b in pairwise(process))
    served = [sorted(chain.from_iterable(one)) for one in rounds]
    assert served == [
        sorted(size for size in least if least[size] > number) for number in range(max(least.values()))
    ]
    assert len(processes) <= len(rounds) + len(least) - 1


def test_extra_processes_are_spread_over_the_rounds() -> None:
    """Those of a default sweep: ten, in five rounds."""
    assert rounds_of({1: 5, 2: 3, 4: 3, 8: 5, 16: 3, 32: 3}) == [
        [(1,), (2,), (4, 8, 16, 32)],
        [(1, 2, 4, 8), (16, 32)],
        [(1, 2, 4, 8, 16), (32,)],
        [(1,), (8,)],
        [(1, 8)],
    ]


@pytest.mark.parametrize("known", [True, False])
def test_what_is_left_over_begins_at_once(*, known: bool) -> None:
    """A cell that had its rounds and still lacks a process of its own has one, beside whatever else is measured."""
    recipe = resolve("eager", {})
    small, large = Cell(recipe, 1, {}), Cell(recipe, 8, {})
    large.rounds += [0, 1, 2]
    large.blocks += [block((1.0,), first_inference_s=1.0 if known else None)] * 3
    assert in_processes([large, small], lambda size: 3) == ([[small, large]] if known else [[small], [large]])
