"""The parent's side of a load test: start the child, block until it answers, leave nothing behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory

from densebench.artifact import Manifest
from densebench.errors import CellFailed, CellTimedOut, UsageError
from densebench.isolation import plain_environment
from densebench.jobs import Message
from densebench.loadtest.plan import Found, Request
from densebench.techniques.base import THREADS

LOG = "output.log"
START_S = 300.0  # a child that says nothing for so long beside the longest run is stuck


def load_test(request: Request, manifest: Manifest, on_stage: Callable[[str], None]) -> Found:
    """Carry the request out in a fresh child, in the environment that the artifact was measured in.

    Raises:
        UsageError, CellFailed: what the child said went wrong, or how it ended.
        CellTimedOut: it was ended, since it said nothing any more.

    """
    own = {key: str(value) for key, value in manifest.host_settings.items() if key.isupper()}
    threads = {THREADS: str(request.stream_threads)}
    environment = plain_environment(request.stream_threads) | own | threads
    reader, writer = os.pipe()
    with (
        TemporaryDirectory(prefix="densebench-load-") as scratch,
        os.fdopen(reader, "rb", buffering=0) as lines,
    ):
        log = Path(scratch) / LOG
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "densebench.loadtest.child", str(writer)],
                pass_fds=[writer],
                env=environment | {"TMPDIR": scratch},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
            )
        os.close(writer)
        limit_s = START_S + request.longest_run_s
        try:
            _ask(child, request)
            while line := _next(lines, limit_s):
                message = Message.model_validate_json(line)
                if message.problem is not None:
                    wrong = UsageError if message.problem.kind == "usage" else CellFailed
                    raise wrong(message.problem.message)
                if message.result is not None:
                    return Found.model_validate(message.result)
                on_stage(message.stage)
            raise CellFailed(_death(child.wait(), log))
        finally:
            child.kill()
            child.wait()


def _next(lines: FileIO, limit_s: float) -> bytes:
    """The child's next line; empty once it has ended."""
    ready, _, _ = select.select([lines], [], [], limit_s)
    if not ready:
        raise CellTimedOut(f"the load test said nothing for {limit_s:.0f} s, and was ended")
    return lines.readline()


def _ask(child: subprocess.Popen[str], request: Request) -> None:
    assert child.stdin is not None, "its standard input is a pipe"
    try:
        with child.stdin:
            child.stdin.write(request.model_dump_json())
    except BrokenPipeError:
        return  # it has ended: the end of its lines says how


def _death(code: int, log: Path) -> str:
    said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    how = f"ended by signal {-code} (out of memory?)" if code < 0 else f"ended with exit code {code}"
    return f"the load test {how}" + (f": {said[-1]}" if said else "")
