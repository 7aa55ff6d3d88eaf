"""A child process from its start to its end, and what it writes meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from densebench.processes import child
from densebench.processes.child import Child, Lines, end, last_line
from densebench.processes.fork_server import GOODBYE
from densebench.worker import server


def test_a_line_comes_as_soon_as_it_is_whole() -> None:
    """Be it written in parts or with others; nothing comes at the end, and in time too late an error."""
    reader, writer = os.pipe()
    lines = Lines(reader)
    with os.fdopen(reader), os.fdopen(writer, "wb", buffering=0) as pipe:
        pipe.write(b"one\ntwo\nthr")
        assert [lines.next(time.monotonic()) for _ in range(2)] == [b"one", b"two"]
        with pytest.raises(TimeoutError):
            lines.next(time.monotonic() + 0.01)
        pipe.write(b"ee\nno whole line")
        assert lines.next(time.monotonic()) == b"three"
        pipe.close()
        assert lines.next(time.monotonic()) == b""


def test_a_child_that_ends_by_itself_has_its_own_exit_code(tmp_path: Path) -> None:
    """It is given the time for it once it has closed its socket, and its last words are known."""
    code = "import os, sys, time; os.close(int(sys.argv[1])); time.sleep(0.3); sys.exit('the last words')"
    with (tmp_path / "log").open("w+b") as log, Child([sys.executable, "-c", code], log) as one:
        assert one.lines.next(time.monotonic() + 20) == b""
        assert one.death().message == "ended with exit code 1"
        assert last_line(log) == "the last words"
        assert one.end() == ""


def test_what_a_child_started_ends_with_it() -> None:
    """Also where the child itself has ended by then."""
    code = (
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.write(int(sys.argv[1]), b'%d\\n' % os.getpid())\n"
        "time.sleep(60)"
    )
    with Child([sys.executable, "-c", code]) as one:
        grandchild = psutil.Process(int(one.lines.next(time.monotonic() + 20)))
        assert grandchild.is_running()
    assert one.process.returncode == 0
    psutil.wait_procs([grandchild], timeout=10)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def unheeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in state D takes no notice of SIGKILL."""
    monkeypatch.setattr(child, "SIGKILL", 0)
    monkeypatch.setattr(child, "KILL_LIMIT_S", 0.2)


@pytest.mark.usefixtures("unheeded")
def test_a_child_that_does_not_end_is_not_waited_for_for_ever() -> None:
    """Neither by its parent nor by a fork server, whose parent is leaving."""
    with subprocess.Popen(["sleep", "60"]) as process:
        said = f"the kernel did not end process {process.pid} in 0.2 s (a driver or disk that hangs?)"
        assert end(process) == said
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.send(GOODBYE)
            server._see_through(process.pid, theirs)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
