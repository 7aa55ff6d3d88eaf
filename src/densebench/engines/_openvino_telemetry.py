"""Intel's libraries without their telemetry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

TELEMETRY = "openvino_telemetry"


@contextmanager
def no_telemetry() -> Iterator[None]:
    """While these libraries are imported, their telemetry package seems not to be installed.

    With it, `import openvino` alone writes an identifier into the home folder and reports to Google Analytics;
    without it, they fall back to stubs that send nothing. It takes effect at the first import in a process.
    """
    if TELEMETRY in sys.modules:
        yield
        return
    # None is Python's own mark of a module that can't be imported
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]
