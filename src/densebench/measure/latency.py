"""Latency of one synchronous stream: warm up, then time single batches until there are enough.

A virtual machine's host may run another guest on a CPU in the middle of a call, or two of the CPUs on one core. A
parallel region then waits for the thread that was held up: on a shared machine such calls took twice as long as the
others. They tell nothing of the model and are left out, by what the kernel says was stolen and by how fast the CPUs
do other work, not by how long they took.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from densebench.errors import Unavailable
from densebench.measure.cores import Speed
from densebench.measure.counters import JIFFY_S, Counters
from densebench.measure.device import Device
from densebench.measure.disturbance import MOST_STOLEN, stolen

LEAST_SAMPLES = 2  # of a block: those of three rounds are enough for a median
LEAST_WARM_UP = 2
MOST_WARM_UP = 30
# In less time calls are quick: a few more of them cost nothing. After it they need only agree roughly, as on a shared
# machine they scatter by 9 to 22 %.
WARM_UP_MS = 500.0
AS_EXPECTED = (
    2.0  # times what is expected of it, up to which a first inference is warm-up enough, if it is long
)
FEW = 4
SETTLED = 0.05  # the last call and the fastest one before it differ by no more than this share
ROUGHLY = 0.25
MOST_SETTLING = 3
SAFETY = 0.9  # share of the limit that a prediction may fill
SLICE_MS = 1000 * JIFFY_S  # the kernel counts stolen time in no smaller parts
STRETCH_MS = 250.0  # between two looks at the CPUs, which take one: what slows them lasts longer
SETTLING = 0.25  # of the seconds of sampling, for calls after a pause that don't count
LONG_CALL_MS = (
    150.0  # of those the first after a pause is slower by less than 1 % (`benchmarks/hand_over.py`)
)
PATIENCE = 3  # times the seconds of sampling, to get enough calls that nothing was stolen from


@dataclass(frozen=True)
class Budget:
    """Seconds: how long to sample, when the process will be ended, and why it might be slow; the fewest samples.

    Where there is such a reason, the limit is for so many `processes` together.
    """

    sample_s: float
    timeout_s: float
    slow_reason: str = ""
    least: int = LEAST_SAMPLES
    processes: int = 1


def warm_up(
    call: Callable[[], object],
    device: Device,
    budget: Budget,
    first_ms: float | None = None,
    expected_ms: float = 0.0,
) -> float:
    """Call until it has settled: two calls, the last and the fastest before it, are within 5 % of each other.

    Within 25 % once they took half a second. At least twice, four times where that takes less than half a second,
    thirty times at most, and no longer than leaves time for sampling. A first inference that took `first_ms` counts
    as one of them, and predicts nothing: it may have compiled. Where it took half a second itself, and no more than
    twice what another batch size makes expect, it is enough, as it is for what is known to be slow. Returns how long
    the last one took, in ms.

    Raises:
        Unavailable: a call predicts that the rest won't fit into the limit.

    """
    enough = first_ms and (budget.slow_reason or first_ms <= AS_EXPECTED * expected_ms)
    if first_ms and enough and first_ms >= WARM_UP_MS and affordable(first_ms, budget):
        return first_ms
    warm = [] if first_ms is None else [first_ms]
    spent = len(warm)  # those that aren't of this budget
    warm.append(device.time_ms(call))
    check_affordable(warm[-1], budget)
    while (
        len(warm) < MOST_WARM_UP
        and not _settled(warm, spent)
        and (len(warm) < LEAST_WARM_UP or _fits(warm[spent:], budget))
    ):
        warm.append(device.time_ms(call))
    return warm[-1]


def settle(call: Callable[[], object], device: Device, most_ms: float, call_ms: float) -> int:
    """One call after a pause, which is slow, and two more if they fit and the last two don't agree; how many it were.

    None where a call is known to be long.
    """
    if call_ms >= LONG_CALL_MS:
        return 0
    calls = [device.time_ms(call)]
    while len(calls) < MOST_SETTLING and sum(calls) + calls[-1] <= most_ms:
        calls.append(device.time_ms(call))
        if abs(calls[-1] - calls[-2]) <= SETTLED * calls[-2]:
            break
    return len(calls)


def _fits(warm: list[float], budget: Budget) -> bool:
    """Whether there is time for one more call and the least sampling after it."""
    return sum(warm) + (1 + LEAST_SAMPLES) * warm[-1] <= 1000 * SAFETY * budget.timeout_s


def _settled(warm: list[float], spent: int) -> bool:
    own_ms = sum(warm[spent:])
    if len(warm) < LEAST_WARM_UP or (len(warm) - spent < FEW and own_ms < WARM_UP_MS):
        return False
    fastest = min(warm[:-1])
    return abs(warm[-1] - fastest) <= (SETTLED if own_ms < WARM_UP_MS else ROUGHLY) * fastest


@dataclass(frozen=True)
class Samples:
    """Latencies of single calls in ms, without those that the host held up."""

    kept_ms: tuple[float, ...]
    calls: int  # those left out among them
    disturbance: str = ""  # too few were left: then none is left out, and this says why
    warm_ms: float = 0.0  # the last call of the warm-up, where it is known
    settled: int = 0  # calls after pauses, which are not timed
    span: Counters = field(default_factory=Counters)  # what the kernel counted meanwhile
    spent_s: float = 0.0  # by the whole block
    spent_j: float = 0.0  # by the whole machine meanwhile, where it is metered

    @property
    def ran(self) -> int:
        """How many calls the block had, those that aren't timed among them."""
        return self.calls + self.settled


def calls_of(budget: Budget, call_ms: float) -> int:
    """How many calls fill the seconds of sampling, from one before them.

    Decided beforehand: a block that ends when its time is full has fewer of the calls that are slow by chance, so its
    mean favours the model whose calls are short.
    """
    return max(budget.least, math.ceil(1000 * budget.sample_s / call_ms))


def sample(
    call: Callable[[], object],
    device: Device,
    budget: Budget,
    count: int,
    stolen_s: Callable[[], float] = lambda: 0.0,
    threads: int = 1,
    speed: Callable[[], Speed] = Speed,
    call_ms: float = 0.0,
) -> Samples:
    """Time so many single calls that the host did not hold up.

    Where three times the seconds of sampling and twice the calls, or half of the process's seconds, don't suffice for
    them, all calls count.

    Args:
        call: one inference.
        device: what times it.
        budget: the seconds of sampling, and of the process.
        count: of calls, as `calls_of` says.
        stolen_s: CPU seconds that the host has given to other guests so far.
        threads: CPUs that a call uses.
        speed: whether the CPUs are at full speed. Calls count between two looks that find that. After a pause that a
            look made come some that don't, unless they are long.
        call_ms: how long one takes, as far as it is known.

    """
    clean: list[float] = []
    calls, said, settled = _Calls(call, device, stolen_s), "", 0
    before = speed()
    while len(clean) < count and not _given_up(calls, budget, count):
        if before.paused:
            settled += settle(call, device, SETTLING * 1000 * budget.sample_s, call_ms)
        unrobbed = calls.stretch(count - len(clean))
        after = speed()
        if before.full and not after.said:
            clean += unrobbed
        said = after.said or said or before.said
        before = after
    every = tuple(calls.every)
    if len(clean) == count:
        return Samples(tuple(clean), len(every), settled=settled)
    robbed = stolen(1000 * calls.lost_s / (threads * calls.spent_ms)) if len(clean) < len(every) else ""
    return Samples(every, len(every), said or robbed, settled=settled)


class _Calls:
    """All timed calls so far: their times in ms, together too, and the CPU seconds stolen meanwhile."""

    def __init__(self, call: Callable[[], object], device: Device, stolen_s: Callable[[], float]) -> None:
        self._call, self._device, self._stolen_s = call, device, stolen_s
        self._before_s = 0.0
        self.every: list[float] = []
        self.spent_ms, self.lost_s = 0.0, 0.0

    def stretch(self, count: int) -> list[float]:
        """Calls for a while, or until so many are not robbed: those that are not."""
        first_ms, unrobbed = self.spent_ms, list[float]()
        self._before_s = self._stolen_s()  # what was stolen while nothing was timed concerns no call
        while len(unrobbed) < count and self.spent_ms - first_ms < STRETCH_MS:
            unrobbed += self._slice(count - len(unrobbed))
        return unrobbed

    def _slice(self, count: int) -> list[float]:
        """Calls that fill the kernel's grain: stolen time is read once for each, as that takes some 90 us."""
        times = [self._device.time_ms(self._call)]
        while sum(times) < SLICE_MS and len(times) < count:
            times.append(self._device.time_ms(self._call))
        now_s = self._stolen_s()
        lost_s, self._before_s = now_s - self._before_s, now_s
        self.every += times
        self.spent_ms += sum(times)
        self.lost_s += lost_s
        # a parallel region waits for the thread that was held up, so the whole call may be late by what it lost
        return times if 1000 * lost_s <= MOST_STOLEN * sum(times) else []


def _given_up(calls: _Calls, budget: Budget, count: int) -> bool:
    made, spent_s = len(calls.every), calls.spent_ms / 1000
    patient = made < 2 * count or spent_s < PATIENCE * budget.sample_s
    in_time = made < budget.least or spent_s < budget.timeout_s / 2
    return not (patient and in_time)


def _needed(batch_ms: float, budget: Budget) -> tuple[int, float]:
    """Processes that must fit into the limit together, and the seconds that they take at least."""
    processes = budget.processes if budget.slow_reason else 1
    return processes, processes * (LEAST_WARM_UP + LEAST_SAMPLES) * batch_ms / 1000


def affordable(batch_ms: float, budget: Budget) -> bool:
    """Whether the least number of calls fits into the limit."""
    return _needed(batch_ms, budget)[1] <= SAFETY * budget.timeout_s


def check_affordable(batch_ms: float, budget: Budget) -> None:
    """Refuse a cell that would be ended for taking too long, with the figure that says so."""
    processes, needed_s = _needed(batch_ms, budget)
    if needed_s > SAFETY * budget.timeout_s:
        why = budget.slow_reason or "too slow here"
        raise Unavailable(
            f"{why}: {batch_ms / 1000:.1f} s a batch, so {needed_s:.0f} s"
            f"{f' in {processes} processes' if processes > 1 else ''} would come too near --cell-timeout"
        )
