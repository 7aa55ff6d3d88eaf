"""What the command line does around a command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

HEARD = """
import signal
from densebench.cli import main as cli
cli.app = lambda *_, **__: print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
cli.main()
"""
REFUSED = """
from densebench.cli import main as cli
def app(*_, **__):
    raise PermissionError(13, "Permission denied", "/root/results")
cli.app = app
cli.main()
"""


@pytest.mark.parametrize(("before", "ignored"), [([], "False"), (["nohup"], "True")])
def test_nohup_is_heeded(before: list[str], ignored: str) -> None:
    """A closed terminal ends a command as Ctrl-C does, but not where that was asked for."""
    here = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests themselves were started with
    try:
        done = subprocess.run(
            [*before, sys.executable, "-c", HEARD], capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        signal.signal(signal.SIGHUP, here)
    assert done.stdout.strip() == ignored


def test_what_may_not_be_used_is_one_line() -> None:
    """A folder of another user's, of which Python asks whether something is in it."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        "densebench: /root/results: Permission denied; check who may use it, or name another place\n"
    )
