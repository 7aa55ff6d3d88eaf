"""The baseline's processes that stand beside the others of a round, for them to take turns with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from densebench import jobs
from densebench.cells import Sweep
from densebench.errors import CellFailed, Unavailable, UsageError
from densebench.record import BASELINE


@contextmanager
def company(sweep: Sweep, sizes: Sequence[int], full_speed_us: float | None) -> Iterator[Mapping[int, str]]:
    """Where they listen, by batch size, as long as they live; nothing where there are none.

    Each serves one batch size: what a larger one left in a process makes smaller ones quicker (decision 6). On a GPU
    there are none: they would share the card's memory with what is measured.
    """
    addresses: dict[int, str] = {}
    with ExitStack() as stack:
        for size in sizes if sweep.workload.device == "cpu" else ():
            job = _job(sweep, size, full_speed_us)
            try:
                stack.enter_context(sweep.nurseries.beside(job, sweep.spec.cell_timeout))
            except (CellFailed, Unavailable, UsageError) as error:
                sweep.progress.note(
                    f"batch {size}: no baseline stands beside the others from now on: {error}"
                )
            else:
                addresses[size] = job.address
        yield addresses


def _job(sweep: Sweep, size: int, full_speed_us: float | None) -> jobs.Accompany:
    return jobs.Accompany(
        folder=sweep.models / BASELINE,
        device=sweep.workload.device,
        batch_sizes=(size,),
        timing_file=sweep.timing_file,
        address=f"\0densebench-{secrets.token_hex(16)}",
        timeout_s=sweep.spec.cell_timeout,
        full_speed_us=full_speed_us,
        threads=sweep.threads,
        trust=sweep.spec.trust,
    )
