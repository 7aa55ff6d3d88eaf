"""Intel's libraries without their telemetry and their progress bars."""

from __future__ import annotations

import contextlib
import io
import logging
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
    sys.modules[TELEMETRY] = None  # type: ignore[assignment] - Python's own mark of a module that can't be imported
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]


@contextmanager
def quiet() -> Iterator[None]:
    """NNCF prints progress bars and remarks on the standard output: they go nowhere, its errors are raised."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
    # its handler was made inside and holds the stream that nobody reads; a user's own NNCF code gets the real one
    for handler in logging.getLogger("nncf").handlers:
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, io.StringIO):
            handler.setStream(sys.stdout)
