"""Pairs with a real reference process: it answers when asked, and a process that gets no answer is measured alone."""

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
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from densebench import engines
from densebench.errors import CellFailed, Unavailable, UsageError
from densebench.machine import interference
from densebench.machine.interference import Interference
from densebench.measure import process, reference_process
from densebench.measure.reference import MOST_BYTES, ReferenceClient, Reply, socket_path
from densebench.measure.reference_process import serve_slices
from densebench.measure.timer import Slice, Timer
from densebench.processes import messages
from densebench.results.observation import ProcessSamples
from tests.artifacts.test_manifest import PLAIN
from tests.measure.scripted import Answering, measure_job

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")
NOBODY = "/nowhere/nobody"
PAIRS = 6


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that answers at once, after a warm-up of a single call."""
    engine = replace(engines.catalogue()[PLAIN], load=lambda *_: Answering())
    monkeypatch.setattr(engines, "catalogue", lambda: {PLAIN: engine})
    monkeypatch.setattr("densebench.measure.timer.WARM_UP_S", 0.0)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a reference process listens, for batches of one image."""
    with served(tmp_path) as where:
        yield where


def reference_job(folder: Path) -> messages.Reference:
    """The baseline, at batch 1."""
    loading = measure_job(folder / "baseline").model_dump(
        include={*messages.Reference.model_fields} - {"kind"}
    )
    return messages.Reference(**loading, batch_size=1, address=socket_path(folder, 1))


@contextmanager
def served(folder: Path, ends: type[Exception] = ValueError) -> Iterator[str]:
    """A reference process in a thread, until the block ends; it ends with this error."""
    job, said = reference_job(folder), Queue[str]()

    def serve() -> None:
        with pytest.raises(ends):
            list(serve_slices(job, said.put))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert said.get(timeout=30) == "ready"
    yield job.address
    if thread.is_alive():
        with connected(job.address) as last:
            last.sendall(b"that is no request\n")  # how the test ends it
    thread.join(30)
    assert not thread.is_alive()


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    """A connection to the reference process."""
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(address)
        yield made


def measured(folder: Path, address: str, **changes: Any) -> dict[int, ProcessSamples]:
    """What a process says that is timed at batches of 1 and 2, the first of them in pairs with the baseline."""
    job = measure_job(folder, references={1: address}, pairs={1: PAIRS}, **changes)
    return {
        size: samples
        for part in process.measure(job, lambda stage: None)
        for size, samples in part.samples.items()
    }


def test_a_process_takes_its_pairs(tmp_path: Path, address: str) -> None:
    """As many as it was told, and none at a batch size without a reference process."""
    found = measured(tmp_path / "own", address)
    assert len(found[1].pairs) in range(PAIRS // 2, PAIRS + 1)  # the host may disturb some
    assert all(one.own_ms and one.reference_ms for one in found[1].pairs)
    assert found[1].samples_ms == ()
    assert found[2].pairs == ()
    assert found[2].samples_ms


def test_a_slice_is_timed_whenever_one_is_asked_for(address: str) -> None:
    """By whoever comes, one after the other; longer ones have more calls."""
    for _ in range(2):
        with ReferenceClient(address, 10) as client:
            short, long = (client.slice(seconds) for seconds in (0.0, 0.1))
            assert short is not None
            assert long is not None
            assert len(long.calls_ms) > len(short.calls_ms) == 1


def test_what_disturbs_the_baseline_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what the host does to it would pass for the speed of the other."""
    steal = Interference(kind="steal", text="5 % of the CPU time stolen by the host")
    monkeypatch.setattr(Timer, "slice", lambda *_, **__: Slice((1.0,), (steal,), ran=1))
    with served(tmp_path) as address, ReferenceClient(address, 10) as client:
        assert client.slice(0.01) == Reply(calls_ms=(1.0,), interference=(steal,))


def test_a_socket_takes_the_place_of_one_that_was_left(tmp_path: Path) -> None:
    """A reference process is killed, and its successor listens at the same place."""
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(socket_path(tmp_path, 1))
    with served(tmp_path) as address, ReferenceClient(address, 10) as client:
        assert client.slice(0.01) is not None


def test_a_folder_whose_path_is_too_long_for_a_socket_is_named() -> None:
    """With what to change; the longest that is taken can be listened at."""
    room = MOST_BYTES - len("//1.socket")
    for length in (room, room + 1):
        with TemporaryDirectory() as short:
            folder = Path(short) / ("f" * (length - len(short)))
            folder.mkdir()
            if length > room:
                with pytest.raises(UsageError, match="set TMPDIR to a shorter one"):
                    socket_path(folder, 1)
            else:
                with socket.socket(socket.AF_UNIX) as listening:
                    listening.bind(socket_path(folder, 1))


def test_both_processes_are_idle_before_each_slice(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that go on spinning would slow the other one down, and favour whoever comes twice in a row."""
    done: list[str] = []
    timed, asked = Timer.slice, ReferenceClient.slice

    def own(timer: Timer, seconds: float, *, from_idle: bool = False, least: int = 1) -> Slice:
        if threading.current_thread() is threading.main_thread():
            done.append("own" if from_idle else "alone")
        return timed(timer, seconds, from_idle=from_idle, least=least)

    def reference(client: ReferenceClient, seconds: float) -> Reply | None:
        done.append("reference")
        return asked(client, seconds)

    def wait() -> bool:
        done.append("idle")
        return True

    monkeypatch.setattr(Timer, "slice", own)
    monkeypatch.setattr(ReferenceClient, "slice", reference)
    monkeypatch.setattr(process, "wait_until_idle", wait)
    measured(tmp_path / "own", address, batch_sizes=(1,))
    slices = [place for place, what in enumerate(done) if what != "idle"]
    assert [done[place] for place in slices] == ["reference", "own", "own", "reference"] * (PAIRS // 2)
    assert all(done[place - 1] == "idle" for place in slices)


def test_a_process_that_never_rests_is_measured_alone(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, or from some slice on."""
    for rests in ([False], [True, True, True, False]):
        answers = iter(rests)
        monkeypatch.setattr(process, "wait_until_idle", lambda answers=answers: next(answers, False))
        found = measured(tmp_path / str(len(rests)), address, batch_sizes=(1,))[1]
        assert found.pairs == ()
        assert found.samples_ms


def test_a_baseline_that_never_rests_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it is measured alone, where it does not compute any more."""
    monkeypatch.setattr(reference_process, "wait_until_idle", lambda: False)
    with served(tmp_path, CellFailed) as address:
        found = measured(tmp_path / "own", address)[1]
    assert found.pairs == ()
    assert found.samples_ms


def test_a_process_without_an_answer_is_measured_alone(tmp_path: Path) -> None:
    """Nobody listens there, or the reference process ends before it answers."""
    found = measured(tmp_path / "own", NOBODY)[1]
    assert found.pairs == ()
    assert found.samples_ms
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address := socket_path(tmp_path, 1))
        listening.listen()
        with ReferenceClient(address, 10) as client:
            listening.accept()[0].close()
            assert client.slice(0.01) is None
            assert client.slice(0.01) is None


@pytest.mark.parametrize(("call_ms", "in_pairs"), [(2000.0, True), (2100.0, False)])
def test_a_slow_process_takes_no_pairs(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, call_ms: float, *, in_pairs: bool
) -> None:
    """They would not fit into its time, and it would be ended."""
    monkeypatch.setattr(Timer, "warm_up", lambda timer, *_: setattr(timer, "call_ms", call_ms))
    assert bool(measured(tmp_path / "own", address, batch_sizes=(1,))[1].pairs) == in_pairs


def test_a_slow_baseline_declines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process would wait for it until its own time is over."""
    monkeypatch.setattr(Timer, "warm_up", lambda timer, *_: setattr(timer, "call_ms", 3200.0))
    with pytest.raises(Unavailable, match=r"the baseline takes 3\.2 s a batch"):
        list(serve_slices(reference_job(tmp_path), lambda stage: None))


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """A single CPU for this thread, and for what it starts."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("one_cpu")
def test_a_program_that_shares_the_core_shows_in_slices_too_short_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's slices are judged together too."""

    def compute(session: Answering, batch: torch.Tensor) -> torch.Tensor:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        return torch.zeros(len(batch), 2)

    def rounding(*given: Any) -> float:
        return real(*given) if given[-1] > 1 else math.inf  # as in a slice of a few ticks on many CPUs

    real = interference.rounding_s
    monkeypatch.setattr(interference, "rounding_s", rounding)
    monkeypatch.setattr(Answering, "__call__", compute)
    started = subprocess.run(  # nobody's child: those of this process would count as its own
        ["sh", "-c", f"timeout 60 {sys.executable} -c 'while True: pass' > /dev/null & echo $!"],
        stdout=subprocess.PIPE,
        check=True,
    )
    try:
        found = measured(tmp_path / "own", NOBODY, sample_seconds=0.6)
    finally:
        os.kill(int(started.stdout), signal.SIGTERM)
    assert "other processes took" in interference.told(found[1].interference)
