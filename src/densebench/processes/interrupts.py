"""What ends a command from outside: ignored for as long as results are written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, `docker stop`, a closed terminal


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore these signals. Python handles signals in the main thread alone, so other threads change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {stop: signal.signal(stop, signal.SIG_IGN) for stop in STOPS}
    try:
        yield
    finally:
        for stop, handler in former.items():
            if handler is not None:  # else it is not Python's to set again
                signal.signal(stop, handler)
