"""The baseline's process that stands beside the others of a round, for them to take turns with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from densebench import jobs
from densebench.cells import Sweep
from densebench.errors import CellFailed, Unavailable, UsageError
from densebench.record import BASELINE


@contextmanager
def company(sweep: Sweep, sizes: Sequence[int], quiet_us: float | None) -> Iterator[jobs.Accompany | None]:
    """What was asked of it, as long as it lives; None where there is none.

    On a GPU there is none: it would share the card's memory with what is measured.
    """
    if sweep.workload.device != "cpu" or not sizes:
        yield None
        return
    job = jobs.Accompany(
        folder=sweep.models / BASELINE,
        device=sweep.workload.device,
        batch_sizes=tuple(sizes),
        timing_file=sweep.timing_file,
        address=f"\0densebench-{secrets.token_hex(16)}",
        timeout_s=sweep.spec.cell_timeout,
        quiet_us=quiet_us,
        threads=sweep.threads,
        trust=sweep.spec.trust,
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(sweep.nurseries.beside(job, sweep.spec.cell_timeout))
        except (CellFailed, Unavailable, UsageError) as error:
            sweep.progress.note(f"no baseline stands beside the others from now on: {error}")
            yield None
        else:
            yield job
