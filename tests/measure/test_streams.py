"""Sessions that answer several batches at once: the time from answer to answer, and what a row says of it."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch

from densebench.engines import _streams
from densebench.engines.base import Streaming
from densebench.errors import TooSlow, Unavailable
from densebench.measure import process
from densebench.measure.interleave import SHARE, affordable
from densebench.measure.streams import LEAST_ANSWERS, StreamTimer, streams_of, timer_of
from densebench.results.derive import derive
from densebench.schema import Effect
from tests.factory import record
from tests.measure.scripted import Answering, ScriptedDevice, measure_job


class Two(Answering):
    """Two streams that take long to begin, then give an answer each 10 ms, and idle one by one at the end."""

    streams = 2

    def __init__(self) -> None:
        self.asked: list[int] = []

    def effect(self, images: torch.Tensor) -> Effect:
        """Nothing is looked at."""
        return Effect(seen=("2 streams",))

    def answer(self, images: torch.Tensor, count: int) -> list[float]:
        """When each answer was there; not in order."""
        self.asked.append(count)
        steady = [5.0 + 0.01 * number for number in range(count - 2)]
        return [*reversed(steady), steady[-1] + 1.0, steady[-1] + 2.0]


def test_beginning_and_end_do_not_count() -> None:
    """From each stream's first answer to the last moment when all streams have work."""
    session = Two()
    timer = timer_of(session, torch.zeros(1, 3, 8, 8), ScriptedDevice(), 2)
    assert isinstance(timer, StreamTimer)
    (between_ms,) = timer.times_ms(20)
    assert round(between_ms, 6) == 10.0
    assert session.asked == [24]


def test_a_slice_has_enough_answers_of_each_stream() -> None:
    """However short it is to be; its one figure is the mean."""
    session = Two()
    timer = timer_of(session, torch.zeros(1, 3, 8, 8), ScriptedDevice(), 2)
    timer.warm_up(0.0, 100.0)
    assert round(timer.call_ms, 6) == 10.0
    found = timer.slice(0.001)
    assert [round(one, 6) for one in found.calls_ms] == [10.0]
    assert found.ran == 2 * LEAST_ANSWERS


def test_streams_answer_at_once() -> None:
    """Calls that wait for each other would never end if one came after the other."""
    together = threading.Barrier(2)
    assert len(_streams.answered([partial(together.wait, 10)] * 2, 6)) == 6


def test_more_streams_than_threads_are_refused() -> None:
    """They would take turns on the threads, and nobody serves so."""
    with pytest.raises(Unavailable, match="2 streams need as many threads, and there are 1"):
        timer_of(Two(), torch.zeros(1, 3, 8, 8), ScriptedDevice(), 1)


def test_sampling_keeps_its_time_where_streams_are_many() -> None:
    """A slice needs answers of each stream: fewer slices then fill the seconds, and pairs may be too long."""
    timer = timer_of(Two(), torch.zeros(1, 3, 8, 8), ScriptedDevice(), 2)
    timer.warm_up(0.0, 100.0)
    slice_s = 0.01 * 2 * (LEAST_ANSWERS + 2)
    assert len(timer.slices(5 * slice_s)) == 5
    assert affordable(timer.shortest_slice_s, 1, 2 * slice_s / SHARE + 0.01)
    assert not affordable(timer.shortest_slice_s, 1, 2 * slice_s / SHARE - 0.01)


def test_streams_too_slow_for_the_limit_are_refused() -> None:
    """Before the process is ended, and its row with it."""
    timer = timer_of(Two(), torch.zeros(1, 3, 8, 8), ScriptedDevice(), 2)
    with pytest.raises(TooSlow, match="samples of 2 streams would come too near"):
        timer.warm_up(0.0, 0.25)


def test_a_session_without_streams_is_timed_call_by_call() -> None:
    """Also one whose engine has them, set to one."""
    assert not isinstance(Answering(), Streaming)
    assert streams_of(Answering()) == 1
    one = Two()
    one.streams = 1
    assert not isinstance(timer_of(one, torch.zeros(1, 3, 8, 8), ScriptedDevice(), 1), StreamTimer)


def test_the_process_says_how_many_streams_it_timed(tmp_path, monkeypatch) -> None:
    """With the samples, for all that follows from them."""
    device, session = ScriptedDevice(), Two()
    facts, call_s = process._at(session, measure_job(tmp_path, threads=2), 1, device, 100.0)
    assert facts["streams"] == 2
    assert round(call_s, 6) == 0.01


def test_a_row_of_several_streams_has_no_latency() -> None:
    """Its images per second are of all streams, and the reason says so."""
    plain, busy = derive(
        [
            record(samples_ms=((20.0,) * 5,) * 3),
            record(recipe="x", samples_ms=((5.0,) * 5,) * 3, streams=4),
        ]
    )
    assert (plain.latency_mean_ms, busy.latency_mean_ms, busy.latency_p50_ms) == (20.0, None, None)
    assert round(busy.throughput_samples_per_s, 6) == 200.0
    assert any("4 batches are answered at once" in phrase for phrase in busy.blank)
    assert not any("at once" in phrase for phrase in plain.blank)
