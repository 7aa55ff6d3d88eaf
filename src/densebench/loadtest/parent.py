"""The parent's side of a load test: start the child, block until it answers, leave nothing behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from densebench.artifacts.manifest import Manifest
from densebench.errors import CellFailed, CellTimedOut
from densebench.loadtest.plan import Found, Request
from densebench.machine.cpus import THREADS
from densebench.processes.child import Child, last_line
from densebench.processes.environment import plain_environment
from densebench.processes.fork_server import error_of
from densebench.processes.messages import Message

LOG = "output.log"
START_S = 300.0  # a child that says nothing for so long beside the longest run is stuck


def load_test(request: Request, manifest: Manifest, on_stage: Callable[[str], None]) -> Found:
    """Carry the request out in a fresh child, in the environment that the artifact was measured in.

    Raises:
        UsageError, CellFailed: what the child said went wrong, or how it ended.
        CellTimedOut: it was ended, since it said nothing any more.

    """
    threads = {THREADS: str(request.stream_threads)}
    environment = plain_environment(request.stream_threads) | manifest.variables | threads
    limit_s = START_S + request.longest_run_s
    command = [sys.executable, "-m", "densebench.loadtest.child", request.model_dump_json()]
    with (
        TemporaryDirectory(prefix="densebench-load-") as scratch,
        (Path(scratch) / LOG).open("w+b") as log,
        Child(command, log, environment | {"TMPDIR": scratch}) as child,
    ):
        try:
            while line := child.lines.next(time.monotonic() + limit_s):
                message = Message.model_validate_json(line)
                if message.problem is not None:
                    raise error_of(message.problem)
                if message.result is not None:
                    return Found.model_validate(message.result)
                on_stage(message.stage)
        except TimeoutError:
            silent = f"the load test said nothing for {limit_s:.0f} s"
            raise CellTimedOut(f"{silent}, and {child.end() or 'was ended'}") from None
        raise CellFailed(f"the load test {child.death(last_line(log)).message}")
