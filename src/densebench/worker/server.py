"""A process that has imported PyTorch and waits: each job is done by a fork of it, which starts in no time.

It must never run a parallel operation or touch CUDA: neither survives a fork. It does one job at a time. It
ends, and ends its child, when the parent's end of the socket closes, however the parent died; if it died without
a goodbye, its scratch folder goes too.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import socket
import sys

from densebench.build_cache import SCRATCH
from densebench.processes.child import end_with_parent, kill
from densebench.processes.fork_server import GOODBYE

MAX_JOB_BYTES = 1 << 17


def main() -> None:
    """Serve jobs from the socket whose descriptor is the only argument."""
    from densebench.worker import jobs

    gc.disable()  # imports make objects by the hundred thousand that stay: looking for rubbish takes a fifth longer
    jobs.preload()
    gc.enable()
    gc.collect()  # they are old now, as if it had been on
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        try:
            parted = _serve(parent)
        except ConnectionError:
            parted = False
    if not parted:
        shutil.rmtree(os.environ.get(SCRATCH, ""), ignore_errors=True)
    os._exit(0)  # taking PyTorch down takes a second, for which the parent waits


def _serve(parent: socket.socket) -> bool:
    """Do jobs until there are no more; return whether the parent said so, or is gone."""
    from densebench.worker import jobs

    parent.send(json.dumps({"ready": True}).encode())
    while True:
        job, descriptors, _, _ = socket.recv_fds(parent, MAX_JOB_BYTES, 2)
        if job in (b"", GOODBYE):
            return bool(job)
        results, log = descriptors
        server = os.getpid()
        child = os.fork()
        if child == 0:
            parent.close()
            _become_child(server, results, log)
            jobs.run(job, results)
            os._exit(0)
        os.close(results)
        os.close(log)
        _see_through(child, parent)


def _become_child(server: int, results: int, log: int) -> None:
    """A session of its own, so that one signal ends all it starts; output into the log; no orphan."""
    os.setsid()
    end_with_parent()
    if os.getppid() != server:  # it ended before it could be asked to take its child along
        os._exit(1)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.set_inheritable(results, False)


def _see_through(child: int, parent: socket.socket) -> None:
    """Tell the parent the child's number, then wait for the child's end or the parent's.

    A child that the kernel doesn't end is not waited for: the parent has given this process up.
    """
    try:
        with os.fdopen(os.pidfd_open(child), "rb", buffering=0) as handle:
            parent.send(json.dumps({"pid": child}).encode())
            ready, _, _ = select.select([handle.fileno(), parent.fileno()], [], [])
    finally:
        stuck = kill(child)  # what it left running would be in the next measurement
        _, status = os.waitpid(child, os.WNOHANG if stuck else 0)
    if parent.fileno() not in ready:  # else it, which sends nothing during a job, is leaving or gone
        parent.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())


if __name__ == "__main__":
    main()
