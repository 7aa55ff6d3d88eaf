"""Loaded at a zygote's start where this folder is on PYTHONPATH: jobs then do what a test asks of them.

The recipe's name in a build job says what the child does. The child's own story, its messages and its errors,
stays densebench's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from densebench import errors, jobs, worker

FAMILY = "family"  # file in the job's folder: the numbers of the child and of what it started


def _start_grandchild(folder: Path) -> None:
    """Start a process that ignores polite signals and runs for a minute."""
    deaf = "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(60)"
    grandchild = subprocess.Popen([sys.executable, "-S", "-c", deaf])
    (folder / FAMILY).write_text(f"{os.getpid()} {grandchild.pid}", encoding="ascii")


def _do(job: jobs.Build, say: worker.Say) -> jobs.BuildDone:
    match job.recipe:
        case "stages":
            say("first")
            say("second")
        case "sleep":
            time.sleep(2)
        case "crash":
            print("the last words", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "hang":
            for polite in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(polite, signal.SIG_IGN)
            _start_grandchild(job.folder)
            time.sleep(60)
        case "abandon":
            _start_grandchild(job.folder)
        case "crash_with_family":
            _start_grandchild(job.folder)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "fork":
            if (grandchild := os.fork()) == 0:
                time.sleep(60)
            (job.folder / FAMILY).write_text(f"{os.getpid()} {grandchild}", encoding="ascii")
        case "usage":
            raise errors.InputError("that file\nis no good")
        case "unavailable":
            raise errors.Unavailable("not on this machine")
        case "error":
            raise ValueError("a bug")
        case "memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    return jobs.BuildDone(build_s=os.getpid())  # any number: one that differs from child to child


worker._prepare_and_do = _do  # noqa: SLF001 - this is the seam: everything around it is the real thing
worker.preload = lambda: None
