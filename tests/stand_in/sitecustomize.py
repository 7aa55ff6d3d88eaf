"""Loaded at a fork server's start where this folder is on PYTHONPATH: jobs then do what a test asks of them.

The recipe's name in a build job says what the child does. The child's own story, its messages and its errors,
stays densebench's.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from densebench import errors
from densebench.processes import messages
from densebench.worker import jobs as worker

FAMILY = "family"  # file in the job's folder: the numbers of the child and of what it started
DEAF = "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(60)"


def _answer(job: messages.Build) -> None:
    """Do nothing."""


def _sleep(job: messages.Build) -> None:
    time.sleep(2)


def _crash(job: messages.Build) -> None:
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def _killed(job: messages.Build) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(job: messages.Build) -> None:
    os._exit(3)


def _hang(job: messages.Build) -> None:
    _abandon(job)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(60)  # in native code, with the interpreter's lock held


def _abandon(job: messages.Build) -> None:
    grandchild = subprocess.Popen([sys.executable, "-S", "-c", DEAF])
    (job.folder / FAMILY).write_text(f"{os.getpid()} {grandchild.pid}", encoding="ascii")


def _crash_with_family(job: messages.Build) -> None:
    _abandon(job)
    _crash(job)


def _fork(job: messages.Build) -> None:
    if (grandchild := os.fork()) == 0:
        time.sleep(60)  # with the pipe of the results open
    (job.folder / FAMILY).write_text(f"{os.getpid()} {grandchild}", encoding="ascii")


def _usage(job: messages.Build) -> None:
    raise errors.InputError("that file\nis no good")


def _unavailable(job: messages.Build) -> None:
    raise errors.Unavailable("not on this machine")


def _error(job: messages.Build) -> None:
    raise ValueError("a bug")


def _limit(job: messages.Build) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(1 << 31)


def _memory(job: messages.Build) -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def _do(job: messages.Build, say: worker.Say) -> Iterator[messages.BuildDone]:
    what = job.recipe.removeprefix("silent ")
    for stage in ("first", "second") if what == job.recipe else ():
        say(stage)
    done, _, after = what.partition(" then ")
    globals()[f"_{done}"](job)
    yield messages.BuildDone(build_s=os.getpid())  # any number: one that differs from child to child
    if after:
        globals()[f"_{after}"](job)
        yield messages.BuildDone(build_s=-1)


worker._prepare_and_do = _do  # the seam: everything around it is the real thing
worker.preload = lambda: None
