"""The child that stands beside those that are timed: the baseline, which times a short block when asked for one.

Meanwhile it waits in a read and uses no processor.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from densebench import jobs
from densebench.beside import Ask, Told
from densebench.errors import CellFailed
from densebench.measure import device as devices
from densebench.measure import latency
from densebench.measure.cores import open_cores
from densebench.record import Frozen
from densebench.stream import Stream
from densebench.timing import images_of, loaded, manifest_of
from densebench.turns import LEAST_CALLS, turn_limit_s


def accompany(job: jobs.Accompany, say: Callable[[str], None]) -> Iterator[Frozen]:
    """Load the baseline, then time blocks for whoever connects, one after the other, until it is ended."""
    import torch

    device = devices.open_device(job.device)
    budget = latency.Budget(0.0, job.timeout_s)
    cores = open_cores(job.device, job.threads, job.full_speed_us)
    with (
        loaded(job, manifest_of(job)) as session,
        torch.inference_mode(),
        socket.socket(socket.AF_UNIX) as listening,
    ):
        streams = {
            size: Stream(partial(session, images_of(job, size)), device, job.threads, cores=cores)
            for size in job.batch_sizes
        }
        for stream in streams.values():
            stream.warm_up(budget)
            stream.rest()

        def answer(ask: Ask) -> Told:
            if 2 * (1 + LEAST_CALLS) * streams[ask.batch_size].call_ms > 1000 * turn_limit_s(job.timeout_s):
                return Told(samples_ms=())  # who waits for it in vain would then be timed while it computes
            part = latency.Budget(ask.seconds, job.timeout_s, least=LEAST_CALLS)
            found = streams[ask.batch_size].turn(part, ask.other_ms)
            if not streams[ask.batch_size].at_rest:
                raise CellFailed("the baseline's threads go on computing after a call")
            return Told(samples_ms=found.kept_ms, disturbance=found.disturbance, warm_ms=found.warm_ms)

        listening.bind(job.address)
        listening.listen()
        say("ready")
        yield Told(samples_ms=())
        while True:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError), connection.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    told = answer(Ask.model_validate_json(line))
                    lines.write(told.model_dump_json() + "\n")
                    lines.flush()
