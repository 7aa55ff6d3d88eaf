"""Signals that end a command, while results are written and after."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from densebench.processes.interrupts import STOPS, uninterrupted

WRITE = """
import signal, sys
from densebench.processes.interrupts import uninterrupted

stop = signal.Signals(int(sys.argv[1]))
signal.signal(stop, signal.default_int_handler)
with uninterrupted():
    with uninterrupted():
        signal.raise_signal(stop)
    signal.raise_signal(stop)
    print("written")
try:
    signal.raise_signal(stop)
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.parametrize("stop", STOPS)
def test_no_signal_ends_what_is_written(stop: signal.Signals) -> None:
    """Inside nothing happens, one in another included; afterwards the signal does what it did before."""
    done = subprocess.run(  # a process of its own: a signal that comes late would end the tests
        [sys.executable, "-c", WRITE, str(int(stop))], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["written", "ended"]


def test_another_thread_changes_no_signal() -> None:
    """Only the main thread can: a sweep in another one is written all the same."""
    seen: list[object] = []

    def write() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert seen == [before]
