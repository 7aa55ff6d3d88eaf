"""The reference process: the baseline, which times a slice whenever a measured process asks for one.

Meanwhile it waits in a read and uses no processor.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from densebench.artifacts.load import open_artifact
from densebench.errors import CellFailed, Unavailable
from densebench.machine.idle import wait_until_idle
from densebench.measure import device as devices
from densebench.measure.interleave import LEAST_PAIRS, affordable
from densebench.measure.process import images_of
from densebench.measure.reference import Reply, Request
from densebench.measure.timer import Timer
from densebench.processes import messages
from densebench.schema import Frozen


def serve_slices(job: messages.Reference, say: Callable[[str], None]) -> Iterator[Frozen]:
    """Load the baseline, then time slices for whoever connects, one after the other, until it is ended."""
    import torch

    device = devices.open_device(job.device)
    with (
        open_artifact(job.folder, job.device, trust=job.trust) as artifact,
        torch.inference_mode(),
        socket.socket(socket.AF_UNIX) as listening,
    ):
        call = partial(artifact.session, images_of(job, job.batch_size))
        began = time.perf_counter()
        call()
        timer = Timer(call, device, job.threads)
        timer.warm_up(time.perf_counter() - began, job.timeout_s)
        call_s = timer.call_ms / 1000
        if not affordable(call_s, LEAST_PAIRS, job.timeout_s):  # who waits for it would be ended
            raise Unavailable(f"the baseline takes {call_s:.1f} s a batch")
        wait_until_idle()
        Path(job.address).unlink(missing_ok=True)  # a former reference process was killed, and left it
        listening.bind(job.address)
        listening.listen()
        say("ready")
        yield Reply(calls_ms=())
        while True:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError), connection.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    lines.write(_answer(timer, Request.model_validate_json(line)).model_dump_json() + "\n")
                    lines.flush()


def _answer(timer: Timer, request: Request) -> Reply:
    """One slice from idle, and idle again at its end: the other process's slice comes next."""
    found = timer.slice(request.seconds, from_idle=True)
    if not wait_until_idle():
        raise CellFailed("the baseline's threads go on computing after a call")
    return Reply(calls_ms=found.calls_ms, interference=found.interference)
