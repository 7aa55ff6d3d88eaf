"""Turns with the baseline's process: it answers when asked, and a process that gets no answer goes on alone."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from densebench import beside, companion, engines, jobs, stream, timing
from densebench.beside import Beside, comes_to_rest
from densebench.companion import accompany
from densebench.measure import disturbance, latency
from densebench.measure.cores import Speed
from densebench.stream import Stream
from densebench.turns import MOST_TURNS, TURNS
from tests.test_artifact import PLAIN, make

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")
NOBODY = "\0densebench-nobody"


class Answering:
    """A session that answers at once."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2)

    def close(self) -> None:
        pass


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Timing images, and an engine that needs no model."""
    engine = replace(engines.catalogue()[PLAIN], load=lambda *_: Answering())
    monkeypatch.setattr(engines, "catalogue", lambda: {PLAIN: engine})
    save_file({"images": torch.zeros(2, 3, 16, 16)}, tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def address(tmp_path: Path, images: Path) -> Iterator[str]:
    """Where a companion listens, for batches of 1 and 2."""
    with served(tmp_path, images) as where:
        yield where


@contextmanager
def served(tmp_path: Path, images: Path) -> Iterator[str]:
    """A companion in a thread, until the block ends."""
    job = jobs.Accompany(
        folder=make(tmp_path / "baseline"),
        device="cpu",
        batch_sizes=(1, 2),
        timing_file=images,
        address=f"\0densebench-test-{tmp_path.name}",
        timeout_s=100,
        threads=1,
        trust=False,
    )
    said: Queue[str] = Queue()

    def serve() -> None:
        with pytest.raises(KeyError):  # how the test ends it
            list(accompany(job, said.put))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert said.get(timeout=30) == "ready"
    yield job.address
    with Beside(job.address, 10) as last:
        assert last.block(99, 0.01) is None
        assert last.block(2, 0.01) is None  # it is asked no more
    thread.join(30)
    assert not thread.is_alive()


def measured(folder: Path, images: Path, address: str, seconds: float = 0.04) -> dict[int, jobs.Block]:
    """What a process answers that is timed at batches of 1 and 2, the first of them in turn with the baseline."""
    job = jobs.Measure(
        folder=make(folder),
        device="cpu",
        batch_sizes=(1, 2),
        timing_file=images,
        sample_seconds=seconds,
        timeout_s=100,
        slow_reason="",
        beside={1: address},
        threads=1,
        trust=False,
    )
    return {
        size: block for part in timing.measure(job, lambda stage: None) for size, block in part.blocks.items()
    }


def test_a_block_is_timed_when_it_is_asked_for(address: str) -> None:
    """By whoever comes, one after the other."""
    for size in (1, 2):
        with Beside(address, 10) as other:
            short, long = (other.block(size, seconds) for seconds in (0.01, 0.03))
            assert short is not None
            assert long is not None
            assert len(long.samples_ms) > 2 * len(short.samples_ms) > 2
            assert long.warm_ms == short.warm_ms > 0


def test_both_sides_know_how_long_the_others_calls_take(
    tmp_path: Path, images: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first turn on: the baseline begins."""
    said: list[float] = []
    turn = Stream.turn

    def noted(stream: Stream, budget: latency.Budget, other_ms: float = 0.0) -> latency.Samples:
        said.append(other_ms)
        return turn(stream, budget, other_ms)

    monkeypatch.setattr(Stream, "turn", noted)
    measured(tmp_path / "own", images, address)
    assert all(ms > 0 for ms in said)
    assert len(said) >= 2 * TURNS


def test_the_baselines_calls_on_slow_cpus_do_not_count_either(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what the host does to it would pass for the speed of the other."""

    class Shared:
        def speed(self) -> Speed:
            return Speed("at half their speed")

    monkeypatch.setattr(companion, "open_cores", lambda *_: Shared())
    with served(tmp_path, images) as address, Beside(address, 10) as other:
        told = other.block(1, 0.01)
        assert told is not None
        assert told.disturbance.startswith("at half their speed")


class Clock:
    """Stands for `time` in `beside`: a process whose threads, all of them, compute for so long."""

    def __init__(self, busy_s: float) -> None:
        self.now = 0.0
        self.busy_s = busy_s

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return min(self.now, self.busy_s)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("busy_s", "limit_s", "rested", "after_s"),
    [(0.0, 1.0, True, 0.01), (0.3, 1.0, True, 0.31), (0.3, 0.1, False, 0.1)],
)
def test_a_process_whose_threads_spin_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, busy_s: float, limit_s: float, *, rested: bool, after_s: float
) -> None:
    """Until they have ended, which is seen at once; not forever."""
    clock = Clock(busy_s)
    monkeypatch.setattr(beside, "time", clock)
    assert comes_to_rest(limit_s) == rested
    assert clock.now == pytest.approx(after_s, abs=0.011)


@pytest.mark.parametrize("rests", [True, False])
def test_nobody_is_asked_while_threads_spin(
    tmp_path: Path, images: Path, address: str, monkeypatch: pytest.MonkeyPatch, *, rests: bool
) -> None:
    """They would slow the other one down, by a third where this was seen."""
    monkeypatch.setattr(stream, "comes_to_rest", lambda: rests)
    found = measured(tmp_path / "other", images, address)
    assert bool(found[1].beside_ms) == rests
    assert found[1].samples_ms


def test_two_processes_take_turns(tmp_path: Path, images: Path, address: str) -> None:
    """Both in each turn, where it was asked for."""
    found = measured(tmp_path / "other", images, address)
    assert len(found[1].turns) >= TURNS
    assert min(min(turn) for turn in found[1].turns) >= 1
    assert [sum(side) for side in zip(*found[1].turns, strict=True)] == [
        len(found[1].samples_ms),
        len(found[1].beside_ms),
    ]
    assert (found[2].beside_ms, found[2].turns) == ((), ())


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """A single CPU for this thread, and for what it starts."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("one_cpu")
def test_a_program_that_shares_the_core_shows_in_turns_too_short_to_tell(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's blocks are looked at together too."""

    def compute(session: Answering, batch: torch.Tensor) -> torch.Tensor:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        return torch.zeros(len(batch), 2)

    def rounding(*given: Any) -> float:
        return real(*given) if given[-1] > 1 else math.inf  # as in a block of a few ticks on many CPUs

    real = disturbance.rounding_s
    monkeypatch.setattr(disturbance, "rounding_s", rounding)
    monkeypatch.setattr(timing, "open_cores", lambda *_: None)
    monkeypatch.setattr(Answering, "__call__", compute)
    started = subprocess.run(  # nobody's child: those of this process would count as its own
        ["sh", "-c", f"timeout 60 {sys.executable} -c 'while True: pass' > /dev/null & echo $!"],
        stdout=subprocess.PIPE,
        check=True,
    )
    try:
        found = measured(tmp_path / "other", images, NOBODY, 0.6)
    finally:
        os.kill(int(started.stdout), signal.SIGTERM)
    assert "other processes took" in found[1].disturbance


def test_a_slow_process_takes_no_turns(
    tmp_path: Path, images: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would not fit into its time, and it would be ended."""
    monkeypatch.setattr(timing.latency, "warm_up", lambda *_: 3150.0)
    assert measured(tmp_path / "slow", images, address)[1].beside_ms == ()
    monkeypatch.setattr(timing.latency, "warm_up", lambda *_: 3100.0)
    assert measured(tmp_path / "quick", images, address)[1].beside_ms


def test_a_slow_baseline_declines(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it in vain would then be timed while it computes. At other batch sizes it goes on."""
    monkeypatch.setattr(timing.latency, "warm_up", lambda call, *_: 3200.0 if len(call()) == 1 else 3000.0)
    with served(tmp_path, images) as address, Beside(address, 10) as other:
        assert other.block(1, 0.01) is None
        assert other.block(2, 0.01) is not None


def test_a_process_without_an_answer_goes_on_alone(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there, or he is gone before he answers."""
    turned: list[float] = []
    turn = Stream.turn
    monkeypatch.setattr(Stream, "turn", lambda *given: turned.append(1) or turn(*given))
    found = measured(tmp_path / "other", images, NOBODY)
    assert len(found[1].samples_ms) >= TURNS
    assert found[1].beside_ms == ()
    assert TURNS <= len(turned) <= MOST_TURNS  # in blocks like the baseline's own
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0densebench-gone-{tmp_path.name}")
        listening.listen()
        with Beside(f"\0densebench-gone-{tmp_path.name}", 10) as beside:
            listening.accept()[0].close()
            assert beside.block(1, 0.01) is None
