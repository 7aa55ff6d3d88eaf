"""Times a session that answers several batches at once: the time from answer to answer in the steady state.

A call that waits for all of its batches would have streams that idle at its start and its end. Here the clock
runs from the moment when each stream has answered once until there were so many answers more, and all streams still
have a batch to work on then. A busy server sees that, and OpenVINO's `benchmark_app -hint throughput` counts it over
its seconds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from densebench.engines.base import Session, Streaming
from densebench.errors import TooSlow, Unavailable
from densebench.measure.device import Device
from densebench.measure.timer import LEAST_SAMPLES, SAFETY, Timer

if TYPE_CHECKING:
    from torch import Tensor

LEAST_ANSWERS = 8  # of each stream in a slice: streams end their batches in groups


class StreamTimer(Timer):
    """Times answers in place of calls.

    Attributes:
        call_ms: from answer to answer, with all streams at work.

    Raises:
        Unavailable: more streams than threads.

    """

    def __init__(self, session: Streaming, images: Tensor, device: Device, threads: int) -> None:
        super().__init__(partial(session, images), device, threads)
        self._session, self._images = session, images
        if session.streams > threads:
            raise Unavailable(f"{session.streams} streams need as many threads, and there are {threads}")
        self.least = LEAST_ANSWERS * session.streams

    @property
    def shortest_slice_s(self) -> float:
        """Some answers of every stream, however long they take."""
        return (self.least + 2 * self._session.streams) * self.call_ms / 1000

    def warm_up(self, first_s: float, limit_s: float, reason: str = "", rounds: int = 1) -> None:
        """As for single calls, then once in all streams."""
        super().warm_up(first_s, limit_s, reason, rounds)
        (self.call_ms,) = self.times_ms(self.least)
        if (needed_s := LEAST_SAMPLES * self.shortest_slice_s) > SAFETY * limit_s / rounds:
            raise TooSlow(
                f"{reason or 'too slow here'}: {needed_s:.0f} s for {LEAST_SAMPLES} samples of "
                f"{self._session.streams} streams would come too near --cell-timeout"
            )

    def times_ms(self, count: int) -> tuple[float, ...]:
        """The mean time between so many answers, as one figure."""
        streams = self._session.streams
        answered = sorted(self._session.answer(self._images, count + 2 * streams))
        return (1000 * (answered[streams + count - 1] - answered[streams - 1]) / count,)


def timer_of(session: Session, images: Tensor, device: Device, threads: int) -> Timer:
    """The timer for a session: of answers where it has several streams, else of single calls."""
    if streams_of(session) > 1:
        assert isinstance(session, Streaming), "or it would have one stream"
        return StreamTimer(session, images, device, threads)
    return Timer(partial(session, images), device, threads)


def streams_of(session: Session) -> int:
    """How many batches a session answers at once."""
    return session.streams if isinstance(session, Streaming) else 1
