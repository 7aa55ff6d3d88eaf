"""Which of a recipe's batch sizes share a process in a round, so that each of them begins one in time.

From its first a process goes to larger batches only: memory that a larger batch left behind makes smaller ones
quicker (decision 6). Memory and first inference are told of the first alone, so each batch size begins a process
once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from densebench.blocks import Cell


def in_processes(cells: Sequence[Cell], least_rounds: Callable[[int], int]) -> list[list[Cell]]:
    """The cells of one recipe by the process that times them, from small to large.

    The smallest begins one anyway. Of the others as many do as it takes for each to have done so within the rounds
    that it is sure to get, spread over these.

    Args:
        cells: what is measured in this round.
        least_rounds: batch size -> rounds that it is sure to get.

    """
    ordered = sorted(cells, key=lambda cell: cell.batch_size)
    begin = {*ordered[:1], *_due([cell for cell in ordered[1:] if not cell.fresh], least_rounds)}
    processes: list[list[Cell]] = []
    for cell in ordered:
        if cell in begin:
            processes.append([])
        processes[-1].append(cell)
    return processes


def _due(stale: Sequence[Cell], least_rounds: Callable[[int], int]) -> list[Cell]:
    """Those that begin a process in this round, of the ones that never did: what has fewest rounds left, first."""
    left = {cell: max(1, least_rounds(cell.batch_size) - cell.count) for cell in stale}
    by_end = sorted(stale, key=lambda cell: left[cell])
    count = max((math.ceil(place / left[cell]) for place, cell in enumerate(by_end, start=1)), default=0)
    return by_end[:count]
