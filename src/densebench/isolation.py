"""The parent's side of a child process: start it, block until it answers, end it when it takes too long.

The parent sleeps in the kernel while a child works. On a small machine one that polls would be part of the
measurement.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from densebench.closed import Closed
from densebench.errors import CellFailed, CellTimedOut, DensebenchError, Unavailable, UsageError
from densebench.jobs import Answer, Job, Message, Problem

# What changes how a process allocates, threads, compiles or computes: a declared plain environment has none of it.
MEMORY = ("MALLOC_", "MIMALLOC_", "TCMALLOC_", "LD_PRELOAD", "GLIBC_TUNABLES", "PYTORCH_ALLOC_CONF")
CUDA_MEMORY = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING", "CUDA_MODULE_LOADING")
THREADS = ("OMP_", "KMP_", "GOMP_")
CPU_KERNELS = (
    "MKL_",
    "MKLDNN_",
    "TORCH_MKLDNN_",
    "ONEDNN_",
    "DNNL_",
    "OPENBLAS_",
    "OV_",
    "ATEN_CPU_CAPABILITY",
)
CUDA_KERNELS = ("CUBLAS_", "CUBLASLT_", "CUDNN_", "TORCH_CUDNN_", "CUDA_LAUNCH_BLOCKING")
TF32 = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
COMPILERS = ("TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_COMPILE_", "PYTORCH_JIT")
TUNING_PREFIXES = (*MEMORY, *CUDA_MEMORY, *THREADS, *CPU_KERNELS, *CUDA_KERNELS, *TF32, *COMPILERS)
KEPT = {
    "OPENBLAS_CORETYPE"
}  # where OpenBLAS takes the processor for another, its answers are wrong without it
START_LIMIT_S = 300.0
GOODBYE = b"goodbye"
ZYGOTE_GONE = "the process that starts children has ended: see run.log"
T = TypeVar("T", bound=Answer)


def plain_environment(threads: int) -> dict[str, str]:
    """The environment that children run in: the caller's, without tuning, with the thread count stated."""
    kept = {
        key: value for key, value in os.environ.items() if key in KEPT or not key.startswith(TUNING_PREFIXES)
    }
    return kept | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}


class Nursery(Closed):
    """Children of one environment, one at a time.

    Args:
        environment: the children's environment variables.
        log: file that the children's output is appended to.

    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = log.open("ab")
        self._socket = ours
        self._child: int | None = None
        with theirs:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "densebench.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )

    @property
    def alive(self) -> bool:
        """Whether children can still be forked: the process that they come from may have been killed."""
        return self._zygote.poll() is None

    def close(self) -> None:
        """End whatever runs. Nothing is left behind."""
        self._kill_child()
        with suppress(OSError):
            self._socket.send(GOODBYE)  # else it takes the parent for killed
        try:
            self._zygote.wait(10)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            self._zygote.wait()
        self._socket.close()
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
            CellTimedOut: the child was ended after `timeout_s` seconds.

        """
        reader, log_start = self._begin(job)
        try:
            said = self._follow(reader, timeout_s, on_stage)
            problem = said.problem
            if problem is not None and problem.kind == "timed_out":
                self._kill_child()
                problem = Problem(kind="timed_out", message=f"{job.kind} took more than {timeout_s:.0f} s")
            code = 0
            if self._child is not None:
                code = int(self._receive()["code"])
                self._child = None
        except BaseException:
            self._kill_child()
            raise
        finally:
            os.close(reader)
        if problem is None and (code or said.result is None):
            problem = _death(code, self._last_line(log_start))
        if said.result is not None:
            return answer.model_validate({**said.result, "ended": problem})
        assert problem is not None, "a child answers, or has a reason"
        raise error_of(problem)

    @contextmanager
    def living(self, job: Job, timeout_s: float) -> Iterator[None]:
        """A child that has said that it is ready, for as long as the block lasts.

        Raises:
            UsageError, Unavailable, CellFailed: what it said instead, or nothing in time.

        """
        reader, log_start = self._begin(job)
        try:
            ready, _, _ = select.select([reader], [], [], timeout_s)
            line = os.read(reader, 1 << 12).split(b"\n")[0] if ready else b""
            if not line:
                ended = (
                    f"ended at once: {self._last_line(log_start)}"
                    if ready
                    else f"not ready in {timeout_s:.0f} s"
                )
                raise CellFailed(f"{job.kind}: {ended}")
            if problem := Message.model_validate_json(line).problem:
                raise error_of(problem)
            yield
        finally:
            self._kill_child()
            os.close(reader)

    def _begin(self, job: Job) -> tuple[int, int]:
        """Start a child: where its words are read, and where in the log its output begins."""
        self.wait_until_ready()
        reader, writer = os.pipe()
        try:
            log_start = os.fstat(self._log.fileno()).st_size
            packet = json.dumps({"job": job.model_dump(mode="json")}).encode()
            try:
                socket.send_fds(self._socket, [packet], [writer, self._log.fileno()])
            except OSError:
                raise CellFailed(ZYGOTE_GONE) from None
            self._child = int(self._receive()["pid"])
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return reader, log_start

    def _follow(self, reader: int, limit_s: float, on_stage: Callable[[str], None]) -> Message:
        """Read the child's lines until it closes the pipe; return all its answers as one.

        A child that has answered may have more to add, for as long again.
        """
        buffered = b""
        said = Message()
        deadline = time.monotonic() + limit_s
        while True:
            ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return Message(result=said.result, problem=Problem(kind="timed_out", message=""))
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                return said
            *lines, buffered = (buffered + chunk).split(b"\n")
            for message in map(Message.model_validate_json, lines):
                if message.stage:
                    on_stage(message.stage)
                    continue
                said = Message(result=_together(said.result, message.result), problem=message.problem)
                deadline = time.monotonic() + limit_s

    def wait_until_ready(self) -> None:
        """Until children can be forked.

        Raises:
            CellFailed: that takes too long, or the process ended.

        """
        if getattr(self, "_ready", False):
            return
        ready, _, _ = select.select([self._socket], [], [], START_LIMIT_S)
        if not ready:
            raise CellFailed(
                f"the process that children are forked from didn't start in {START_LIMIT_S:.0f} s"
            )
        self._receive()
        self._ready = True

    def _receive(self) -> dict[str, Any]:
        packet = self._socket.recv(1 << 12)
        if not packet:
            raise CellFailed(ZYGOTE_GONE)
        answer: dict[str, Any] = json.loads(packet)
        return answer

    def _kill_child(self) -> None:
        if self._child is None:
            return
        for end in (os.killpg, os.kill):
            try:
                end(self._child, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        self._child = None
        try:
            self._receive()  # the zygote's word that the child is gone
        except (CellFailed, OSError):
            return

    def _last_line(self, start: int) -> str:
        written = Path(self._log.name).read_bytes()[start:].decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(written) if line.strip()), "")


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
    if problem.kind == "usage":
        return UsageError(problem.message)
    if problem.kind == "unavailable":
        return Unavailable(problem.message)
    if problem.kind == "timed_out":
        return CellTimedOut(problem.message)
    return CellFailed(problem.message, out_of_memory=problem.out_of_memory)


def _death(code: int, last_line: str) -> Problem:
    """What is told of a child that ended without a word: it was killed, or a library ended it."""
    said = f": {last_line}" if last_line else ""
    if code >= 0:
        return Problem(kind="failed", message=f"ended with exit code {code}{said}")
    name = signal.Signals(-code).name
    killed = name == "SIGKILL"
    hint = " (out of memory?)" if killed else ""
    return Problem(kind="failed", message=f"ended by {name}{hint}{said}", out_of_memory=killed)
