"""A stand-in for the children of a sweep: it answers every job at once, so that only the parent's part is run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from densebench import jobs
from tests.factory import block, described, in_one_process

SAMPLES = 10


class InstantNurseries:
    """Made with the same arguments as the real one, and asked in the same way."""

    def __init__(self, *arguments: object) -> None:
        self.plain = self
        self._random = random.Random(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()

    def of(self, variables: object) -> Self:
        """Itself, for any environment."""
        return self

    @contextmanager
    def beside(self, job: jobs.Accompany, timeout_s: float) -> Iterator[None]:
        """It stands there, and nobody asks."""
        yield

    def renew(self) -> None:
        """They are always new."""

    def close(self) -> None:
        """Nothing runs."""

    def run(
        self, job: jobs.Job, answer: type, timeout_s: float, on_stage: Callable[[str], None] | None = None
    ) -> Any:
        """An answer of the right kind."""
        match job:
            case jobs.Describe():
                job.timing_file.touch()
                job.timing_file.with_name("run.log").touch()
                return described(workload=job.workload, batch1_ms=1.0)
            case jobs.Survey():
                return jobs.Surveyed()
            case jobs.Build():
                return jobs.BuildDone(build_s=1.0)
            case jobs.Evaluate():
                return jobs.Quality(
                    parameters=1_000,
                    macs_g=0.1,
                    zero_fraction=0.0,
                    model_size_mb=1.0,
                    effect="none: a stand-in",
                    build_s=1.0,
                    cold_start_s=1.0,
                )
            case jobs.Measure():
                return jobs.Measured(
                    blocks=in_one_process({size: self._block(size) for size in job.batch_sizes}),
                    traced=dict.fromkeys(job.traces, ""),
                )
        raise AssertionError(job)

    def _block(self, size: int) -> jobs.Block:
        return block(tuple(self._random.gauss(10, 0.1) * size for _ in range(SAMPLES)))
