"""The rounds that had no part in the choice, and what they say of two of their cells.

The best of many noisy rows looks better than it is. So the winner, the runner-up and the baseline are measured once
more, and the answer quotes these rounds alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from densebench.decision.answer import Ratio
from densebench.results.observation import Status
from densebench.results.record import Record
from densebench.spec import BASELINE
from densebench.stats.one_sample import p_not_above
from densebench.stats.samples import CONFIDENCE, mean
from densebench.stats.speedup import Process, by_round, geometric_mean, ratios_by_round, throughput

LEVEL = 0.01  # a winner is confirmed where so high a ratio is rarer than this if it were no faster
LEAST_ROUNDS = 3  # a confirmation that an interrupt cut shorter says nothing
Cell = tuple[str, int]


@dataclass(frozen=True)
class Confirmation:
    """The processes of each cell that was measured again, and the cells that broke when they were."""

    processes: Mapping[Cell, list[Process]] = field(default_factory=dict)
    broken: frozenset[Cell] = frozenset()

    @classmethod
    def of(cls, records: Iterable[Record]) -> Confirmation:
        """From the confirmation's records; of several of one cell the last one counts."""
        latest = {record.key: record for record in records}
        sound = {key: one.processes_by_round for key, one in latest.items() if one.status is Status.OK}
        return cls(sound, frozenset(latest) - frozenset(sound))

    def ratio(self, one: Cell, other: Cell) -> Ratio | None:
        """How many times as fast the first cell is as the second, in images a second; None without enough rounds."""
        logs = self._logs(one, other)
        if len(logs) < LEAST_ROUNDS:
            return None
        found = geometric_mean(logs, CONFIDENCE)
        return Ratio(value=found.value, low=found.low, high=found.high, p=p_not_above(logs), rounds=len(logs))

    def images_per_s(self, cell: Cell) -> float | None:
        """The throughput of a cell, one synchronous stream."""
        own = self.processes.get(cell)
        return throughput(own, cell[1]).value if own else None

    def _logs(self, one: Cell, other: Cell) -> list[float]:
        """One logarithm for each round that both were measured in."""
        ours, theirs = self.processes.get(one, []), self.processes.get(other, [])
        if one[1] == other[1] and other[0] == BASELINE:
            shared = {each.round for each in theirs}
            return [
                value for number, value in ratios_by_round(ours, theirs).items() if number in shared
            ]  # by pairs where there are pairs
        fast, slow = by_round(ours), by_round(theirs)
        sizes = math.log(one[1] / other[1])
        return [sizes + mean(slow[number]) - mean(fast[number]) for number in fast if number in slow]
