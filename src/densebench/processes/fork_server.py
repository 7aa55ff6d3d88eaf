"""The parent's side of a fork server: have a child forked, block until it answers, end it when it takes too long."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from densebench.errors import CellFailed, CellTimedOut, DensebenchError, TooSlow, Unavailable, UsageError
from densebench.processes.child import END_LIMIT_S, KILL_LIMIT_S, Child, Lines, death, end, kill, last_line
from densebench.processes.messages import Answer, Job, Message, Problem

START_LIMIT_S = 300.0
GOODBYE = b"goodbye"
T = TypeVar("T", bound=Answer)


class ForkServer:
    """Children of one environment, one at a time.

    Args:
        environment: the children's environment variables.
        log: file that the children's output is appended to.

    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._log = log.open("a+b")
        self._log_start = self._log_bytes()
        self._ready = False
        self._child: int | None = None
        command = [sys.executable, "-m", "densebench.worker.server"]
        self._server = Child(command, self._log, environment, kind=socket.SOCK_SEQPACKET)

    @property
    def alive(self) -> bool:
        """Whether children can still be forked: the fork server may have been killed, or given up."""
        return self._server.socket.fileno() >= 0 and self._server.process.poll() is None

    def close(self) -> None:
        """End whatever runs. Nothing is left behind that the kernel ends."""
        self._end_child()
        self._end(END_LIMIT_S)
        self._log.close()

    def run(
        self,
        job: Job,
        answer: type[T],
        timeout_s: float,
        on_stage: Callable[[str], None] = lambda stage: None,
    ) -> T:
        """Do a job in a fresh child and return its answer.

        An answer stands whatever becomes of the child then; its `ended` tells.

        Raises:
            UsageError, Unavailable, CellFailed: what the child said went wrong, or the signal that ended it.
            CellTimedOut: the child was ended after `timeout_s` seconds, or given up where the kernel did not end it.

        """
        reply, code = Message(), 0
        with self._forked(job, timeout_s) as (lines, log_start):
            try:
                for reply in _replies(lines, timeout_s, on_stage):  # noqa: B007 - the last one has all
                    pass
                code = self._receive(timeout_s)["code"]
                self._child = None
                problem = reply.problem
            except TimeoutError:
                late = [f"{job.kind} took more than {timeout_s:.0f} s", self._end_child()]
                problem = Problem(kind="timed_out", message="; ".join(filter(None, late)))
        if problem is None and (code or reply.result is None):
            problem = death(code, last_line(self._log, log_start))
        if reply.result is not None:
            return answer.model_validate({**reply.result, "ended": problem})
        assert problem is not None, "a child answers, or has a reason"
        raise error_of(problem)

    @contextmanager
    def living(self, job: Job, timeout_s: float) -> Iterator[None]:
        """A child that has said that it is ready, for as long as the block lasts.

        Raises:
            UsageError, Unavailable, CellFailed: what it said instead, or nothing in time.

        """
        with self._forked(job, timeout_s) as (lines, log_start):
            try:
                line = lines.next(time.monotonic() + timeout_s)
            except TimeoutError:
                raise CellFailed(f"{job.kind}: not ready in {timeout_s:.0f} s") from None
            if not line:
                raise CellFailed(f"{job.kind}: ended at once: {last_line(self._log, log_start)}")
            if problem := Message.model_validate_json(line).problem:
                raise error_of(problem)
            yield

    def wait_until_ready(self) -> None:
        """Until children can be forked.

        Raises:
            CellFailed: that takes too long, or the process ended.

        """
        try:
            self._ready = self._ready or bool(self._receive(START_LIMIT_S))
        except TimeoutError:
            late = f"the process that children are forked from didn't start in {START_LIMIT_S:.0f} s"
            raise CellFailed(late) from None

    @contextmanager
    def _forked(self, job: Job, limit_s: float) -> Iterator[tuple[Lines, int]]:
        """A child at work, for as long as the block lasts: its lines, and where in the log its output begins."""
        self.wait_until_ready()
        log_start = self._log_bytes()
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", buffering=0):
            try:
                with os.fdopen(writer, "wb", buffering=0):
                    self._fork(job, writer, limit_s)
                yield Lines(reader), log_start
            finally:
                self._end_child()

    def _fork(self, job: Job, results: int, limit_s: float) -> None:
        packet = json.dumps({"job": job.model_dump(mode="json")}).encode()
        try:
            socket.send_fds(self._server.socket, [packet], [results, self._log.fileno()])
            self._child = self._receive(limit_s)["pid"]
        except TimeoutError:
            self._end()
            silent = f"process {self._server.process.pid}, which starts children, did not answer in {limit_s:.0f} s"
            raise CellTimedOut(f"{job.kind}: {silent}") from None
        except OSError:
            raise self._server_gone() from None

    def _receive(self, limit_s: float) -> dict[str, int]:
        """The fork server's next message.

        Raises:
            CellFailed: the fork server ended.
            TimeoutError: it sends nothing within the limit.

        """
        try:
            self._server.socket.settimeout(limit_s)
            packet = self._server.socket.recv(1 << 12)
        except TimeoutError:
            raise
        except OSError:
            packet = b""
        if not packet:
            raise self._server_gone()
        message: dict[str, int] = json.loads(packet)
        return message

    def _end_child(self) -> str:
        """End the child with all that it started; where it doesn't end, give the fork server up that waits for it.

        Returns:
            Nothing, or which process did not end or answer.

        """
        if self._child is None:
            return ""
        child, self._child = self._child, None
        stuck = kill(child)
        if not stuck:
            try:
                self._receive(KILL_LIMIT_S)  # the fork server's word that the child is gone
            except TimeoutError:
                stuck = f"process {self._server.process.pid}, which started it, does not answer"
            except CellFailed:
                return ""
        if stuck:
            self._end()
        return stuck

    def _end(self, patience_s: float = 0.0) -> None:
        """End the fork server, now or when it has had so many seconds to end by itself."""
        with suppress(OSError):
            self._server.socket.send(GOODBYE)  # else it takes the parent for killed
        end(self._server.process, patience_s if self.alive else 0.0)
        self._server.socket.close()  # not before: a fork server that still starts would take the parent for killed

    def _server_gone(self) -> CellFailed:
        """How the fork server ended, and its last words: there may be no log to look at."""
        how = self._server.death(last_line(self._log, self._log_start))
        return CellFailed(f"the process that starts children {how.message}")

    def _log_bytes(self) -> int:
        return os.fstat(self._log.fileno()).st_size


def _replies(lines: Lines, limit_s: float, on_stage: Callable[[str], None]) -> Iterator[Message]:
    """After each answer of a child, all its answers so far as one, until it closes the pipe.

    A child that has answered may have more to add, for as long again; else this is a `TimeoutError`.
    """
    reply = Message()
    deadline = time.monotonic() + limit_s
    while line := lines.next(deadline):
        message = Message.model_validate_json(line)
        if message.stage:
            on_stage(message.stage)
            continue
        reply = Message(result=_together(reply.result, message.result), problem=message.problem)
        yield reply
        deadline = time.monotonic() + limit_s


def _together(former: dict[str, object] | None, latest: dict[str, object] | None) -> dict[str, object] | None:
    """One answer from two parts; of what is a mapping in both, the entries of both."""
    if former is None or latest is None:
        return former or latest
    together = former | latest
    for key, old in former.items():
        new = latest.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            together[key] = old | new
    return together


def error_of(problem: Problem) -> DensebenchError:
    """The error that a child's problem is in the parent."""
    errors: dict[str, type[DensebenchError]] = {
        "usage": UsageError,
        "too_slow": TooSlow,
        "unavailable": Unavailable,
        "timed_out": CellTimedOut,
    }
    if problem.kind in errors:
        return errors[problem.kind](problem.message)
    return CellFailed(problem.message, out_of_memory=problem.out_of_memory)
