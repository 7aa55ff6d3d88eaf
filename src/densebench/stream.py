"""One process's single calls at one batch size, timed block by block: the machine is watched, energy is metered."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from densebench.beside import comes_to_rest
from densebench.measure import latency
from densebench.measure.cores import Cores, Speed
from densebench.measure.counters import stolen_clock
from densebench.measure.device import Device
from densebench.measure.disturbance import Watch
from densebench.measure.energy import Meter
from densebench.measure.memory import page_faults

FAR = 2.0  # times as fast: beside such a difference what a hand-over adds to a long call is nothing


class Stream:
    """One synchronous stream of calls.

    Attributes:
        call_ms: how long the last call of the warm-up took, which says how many of them fill a block.
        calls: how many were timed so far, those left out among them.
        ran: how many a block had, those after a pause that aren't timed among them.
        page_faults: pages of memory that the kernel gave the process in them.
        at_rest: no thread of the process computed any more when `rest` last waited for that.

    """

    def __init__(
        self,
        call: Callable[[], object],
        device: Device,
        threads: int,
        meter: Meter | str | None = None,
        cores: Cores | None = None,
    ) -> None:
        self._call = call
        self._device = device
        self._threads = threads
        self._meter = None if isinstance(meter, str) else meter
        self._cores = cores
        self._aside_s, self._aside_j = 0.0, 0.0  # that looks at the CPUs took
        self._watch = Watch(device.name, threads, steal=False)
        self._stolen_s = stolen_clock(frozenset(os.sched_getaffinity(0)))
        self.call_ms = math.inf
        self.calls, self.ran, self.page_faults = 0, 0, 0
        self.at_rest = False

    def warm_up(
        self, budget: latency.Budget, first_ms: float | None = None, expected_ms: float = 0.0
    ) -> float:
        """Call until it has settled, after a first call if there was one; how long the last took, in ms."""
        self.call_ms = latency.warm_up(self._call, self._device, budget, first_ms, expected_ms)
        return self.call_ms

    def rest(self) -> None:
        """Wait until the process is at rest, as it is to be before a turn, whosever that is."""
        self.at_rest = comes_to_rest()

    def block(self, budget: latency.Budget, *, at_work: bool = True) -> latency.Samples:
        """Time single calls, looking at the machine before and after; `at_work` if others came just before."""
        started_j, began = self._joules(), time.perf_counter()
        self._watch.begin(at_work=at_work)
        self._aside_s, self._aside_j = 0.0, 0.0
        count, faults = latency.calls_of(budget, self.call_ms), page_faults()
        found = latency.sample(
            self._call, self._device, budget, count, self._stolen_s, self._threads, self._speed, self.call_ms
        )
        self.page_faults += page_faults() - faults
        said = "; ".join(filter(None, (found.disturbance, self._watch.end())))
        self.calls += found.calls
        self.ran += found.ran
        return replace(
            found,
            disturbance=said,
            warm_ms=self.call_ms,
            span=self._watch.span,
            spent_s=time.perf_counter() - began - self._aside_s,
            spent_j=self._joules() - started_j - self._aside_j,
        )

    def turn(self, budget: latency.Budget, other_ms: float = 0.0) -> latency.Samples:
        """A block from rest, as the other process's are, whose calls take `other_ms`, after calls that don't count.

        Long calls need none of these, and of two models that are nearly as fast both do alike. Alone, `other_ms` is
        0. It ends at rest, so that whoever's turn is next begins from rest.
        """
        self._speed()
        shorter_ms, longer_ms = sorted((self.call_ms, other_ms))
        call_ms = shorter_ms if longer_ms < FAR * shorter_ms else self.call_ms
        settled = latency.settle(self._call, self._device, 1000 * latency.SETTLING * budget.sample_s, call_ms)
        found = self.block(budget, at_work=settled > 0)
        self.rest()
        return found

    def disturbed(self, blocks: Sequence[latency.Samples]) -> str:
        """What disturbed blocks together, each of which may be too short to tell."""
        return self._watch.together([one.span for one in blocks])

    def _speed(self) -> Speed:
        """Look at the CPUs, where that tells something."""
        if self._cores is None:
            return Speed()
        started_j, began = self._joules(), time.perf_counter()
        found = self._cores.speed()
        self._aside_s += time.perf_counter() - began
        self._aside_j += self._joules() - started_j
        return found

    def _joules(self) -> float:
        return self._meter.read_j() if self._meter else 0.0
