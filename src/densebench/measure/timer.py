"""One process's single calls at one batch size: warm up, then time slices of calls while the machine is watched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from densebench.errors import TooSlow
from densebench.machine.counters import Counters
from densebench.machine.interference import MOST_STOLEN, Interference, Watch, steal
from densebench.measure.device import Device
from densebench.measure.memory import page_faults

T = TypeVar("T")

LEAST_SAMPLES = 2  # of a process: the calls of three rounds are enough for a median
LEAST_WARM_UP = 2  # the first inference is one of them
WARM_UP_S = 0.5  # the clock of a GPU, caches and allocators take tenths of a second to settle
SAFETY = 0.9  # share of the limit that a prediction may fill
REWARM_BELOW_MS = 150.0  # a longer call is slower by less than 1 % after a pause (docs/log.md)
MOST_SLICES = 12  # of a process's sampling: slow spells of a shared machine last tenths of a second


@dataclass(frozen=True)
class Slice:
    """A few single calls, one after the other, in ms; what disturbed them, and what the kernel counted meanwhile."""

    calls_ms: tuple[float, ...]
    interference: tuple[Interference, ...] = ()
    span: Counters = field(default_factory=Counters)
    page_faults: int = 0  # of the calls that aren't timed too
    ran: int = 0  # calls, those that aren't timed among them
    power_limited: bool = False


class Timer:
    """Times calls of one model on one device.

    Attributes:
        call_ms: how long the last call of the warm-up took, which says how many of them fill a slice.
        least: calls of a slice, however long they are.

    """

    least = 1

    def __init__(self, call: Callable[[], object], device: Device, threads: int) -> None:
        self._call = call
        self._device = device
        self._watch = Watch(device.name, threads, steal=False)
        self.call_ms = math.inf

    def warm_up(self, first_s: float, limit_s: float, reason: str = "", rounds: int = 1) -> None:
        """Call for half a second after the first inference; twice at least, that one included.

        A first inference may have compiled, so it predicts nothing.

        Args:
            first_s: seconds that the first inference took.
            limit_s: seconds, after which the process would be ended.
            reason: why calls are known to be slow here, in words.
            rounds: how many rounds share the limit.

        Raises:
            TooSlow: a call predicts that the least sampling won't fit into the limit.

        """
        warm_ms: list[float] = []
        share_s = SAFETY * limit_s / rounds
        while 1 + len(warm_ms) < LEAST_WARM_UP or sum(warm_ms) < 1000 * WARM_UP_S:
            warm_ms.append(self._device.time_ms(self._call))
            needed_s = (LEAST_WARM_UP + LEAST_SAMPLES) * warm_ms[-1] / 1000
            if needed_s > share_s:
                raise TooSlow(
                    f"{reason or 'too slow here'}: {warm_ms[-1] / 1000:.1f} s a batch, so {rounds * needed_s:.0f} s"
                    f"{f' in {rounds} rounds' if rounds > 1 else ''} would come too near --cell-timeout"
                )
            if first_s + sum(warm_ms) / 1000 + needed_s > share_s:
                break
        self.call_ms = warm_ms[-1]

    @property
    def shortest_slice_s(self) -> float:
        """Seconds of a slice with as few calls as there may be."""
        return self.call_ms / 1000

    def times_ms(self, count: int) -> tuple[float, ...]:
        """The times of so many calls, one after the other."""
        return tuple(self._device.time_ms(self._call) for _ in range(count))

    def slice(self, seconds: float, *, from_idle: bool = False, least: int = 1) -> Slice:
        """Time calls that fill so many seconds; after a pause, a short call first that doesn't count.

        How many is decided beforehand: a slice that ends when its time is full has fewer of the calls that are slow
        by chance, so its mean favours the model whose calls are short.
        """
        rewarmed = int(from_idle and self.call_ms < REWARM_BELOW_MS)
        faults = page_faults()
        for _ in range(rewarmed):
            self._device.time_ms(self._call)
        count = max(least, self.least, math.ceil(1000 * seconds / self.call_ms))
        self._watch.begin(at_work=bool(rewarmed) or not from_idle)
        calls_ms = self.times_ms(count)
        found, span = self._watch.end(), self._watch.span
        if span.stolen_s > MOST_STOLEN * span.clock_s:
            found = (*found, steal(span))
        return Slice(
            calls_ms, found, span, page_faults() - faults, count + rewarmed, self._watch.power_limited
        )

    def slices(self, seconds: float) -> list[Slice]:
        """Time slices one after the other, without a reference process."""
        count = slice_count(self.shortest_slice_s, seconds)
        least = math.ceil(LEAST_SAMPLES / count)
        return [self.slice(seconds / MOST_SLICES, least=least) for _ in range(count)]

    def others(self, slices: Sequence[Slice]) -> tuple[Interference, ...]:
        """What other processes took of the CPUs during slices, each of which may be too short to tell."""
        return self._watch.together([one.span for one in slices])


def slice_count(shortest_s: float, seconds: float) -> int:
    """How many slices fill the seconds of sampling: fewer where even the shortest slice is long."""
    return max(1, min(MOST_SLICES, math.ceil(seconds / shortest_s)))


def undisturbed(taken: Sequence[T], interference: Callable[[T], Sequence[Interference]]) -> list[T]:
    """Those that nothing disturbed, if these are at least half; else all."""
    quiet = [one for one in taken if not interference(one)]
    return quiet if 2 * len(quiet) >= len(taken) else list(taken)


def every_call(slices: Sequence[Slice]) -> tuple[float, ...]:
    """All timed calls of some slices, in ms."""
    return tuple(chain.from_iterable(one.calls_ms for one in slices))
