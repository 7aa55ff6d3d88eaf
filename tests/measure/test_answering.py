"""Streams in processes of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from densebench.measure.answering import Elsewhere, share
from tests.loadtest.test_scenarios import request


@pytest.mark.parametrize(
    ("cpus", "threads", "streams", "shares"),
    [
        ([4, 5, 6, 7], 4, 2, [[4, 5], [6, 7]]),
        ([0, 2, 4], 3, 3, [[0], [2], [4]]),
        ([0, 2, 1, 3], 2, 1, [[0, 2]]),  # 0 and 1 are of one core
        ([0, 1, 2, 3], 3, 2, [[0], [1]]),  # one thread each: the rest is nobody's
        ([0, 1], 4, 2, [[0, 1], [0, 1]]),
    ],
)
def test_each_stream_has_cpus_of_its_own(
    cpus: list[int], threads: int, streams: int, shares: list[list[int]]
) -> None:
    """One for each of its threads; all of them where there are too few."""
    asked = request(streams=streams, threads=threads)
    assert [share(cpus, asked, number) for number in range(streams)] == shares


@pytest.fixture
def cpus() -> Iterator[list[int]]:
    """All of the machine's that may be used, where the tests themselves are kept to one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    yield sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, before)


def test_a_stream_s_process_stays_on_its_cpus(cpus: list[int]) -> None:
    """From before it loads anything."""
    if len(cpus) < 2:
        pytest.skip("one CPU only")
    stream = Elsewhere(request(streams=2, threads=2), 1)
    try:
        until = time.monotonic() + 30
        while (found := os.sched_getaffinity(stream._child.process.pid)) != {
            cpus[1]
        } and time.monotonic() < until:
            time.sleep(0.01)
        assert found == {cpus[1]}
    finally:
        stream.close()
