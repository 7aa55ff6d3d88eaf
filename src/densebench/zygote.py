"""A process that has imported PyTorch and waits: each job is done by a fork of it, which starts in no time.

It must never run a parallel operation or touch CUDA: neither survives a fork. It does one job at a time. It
ends, and ends its child, when the parent's end of the socket closes, however the parent died.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
MAX_JOB_BYTES = 1 << 17


def main() -> None:
    """Serve jobs from the socket whose descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    from densebench import worker

    worker.preload()
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        parent.send(json.dumps({"ready": True}).encode())
        while True:
            job, descriptors, _, _ = socket.recv_fds(parent, MAX_JOB_BYTES, 2)
            if not job:
                return
            results, log = descriptors
            child = os.fork()
            if child == 0:
                parent.close()
                _become_child(results, log)
                worker.run(job, results)
                os._exit(0)
            os.close(results)
            os.close(log)
            _see_through(child, parent)


def _become_child(results: int, log: int) -> None:
    """A session of its own, so that one signal ends all it starts; output into the log; no orphan."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.set_inheritable(results, False)


def _see_through(child: int, parent: socket.socket) -> None:
    """Tell the parent the child's number, then wait for the child's end or the parent's."""
    parent.send(json.dumps({"pid": child}).encode())
    handle = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([handle, parent.fileno()], [], [])
        if handle not in ready:  # the parent sends nothing during a job: it is gone
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            sys.exit(1)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what it left running would be in the next measurement
        _, status = os.waitpid(child, 0)
        parent.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
    finally:
        os.close(handle)


if __name__ == "__main__":
    main()
