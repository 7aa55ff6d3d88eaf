"""A stand-in for the children of a sweep: it answers every job at once, so that only the parent's part is run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from densebench.processes import messages
from densebench.results.observation import ProcessSamples
from densebench.schema import Effect
from tests.factory import described, in_one_process, samples

SAMPLES = 10


class InstantForkServers:
    """Made with the same arguments as the real one, and asked in the same way."""

    def __init__(self, variables: object = None, log: Path = Path(os.devnull)) -> None:
        self.plain = self
        self.log = log
        self._random = random.Random(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()

    def of(self, variables: object) -> Self:
        """Itself, for any environment."""
        return self

    def keep_log(self, path: Path) -> None:
        """As the real one does."""
        self.log = self.log.rename(path)

    @contextmanager
    def reference(self, job: messages.Reference, timeout_s: float) -> Iterator[None]:
        """It stands there, and nobody asks."""
        yield

    def renew(self) -> None:
        """They are always new."""

    def close(self) -> None:
        """Nothing runs."""

    def run(
        self, job: messages.Job, answer: type, timeout_s: float, on_stage: Callable[[str], None] | None = None
    ) -> Any:
        """An answer of the right kind."""
        match job:
            case messages.Describe():
                job.timing_file.touch()
                self.log.touch()
                return described(workload=job.workload, batch1_ms=1.0)
            case messages.Survey():
                return messages.Surveyed()
            case messages.Build():
                return messages.BuildDone(build_s=1.0)
            case messages.Evaluate():
                return messages.Quality(
                    parameters=1_000,
                    macs_g=0.1,
                    zero_fraction=0.0,
                    model_size_mb=1.0,
                    effect=Effect(none_because="a stand-in"),
                    build_s=1.0,
                    cold_start_s=1.0,
                )
            case messages.Measure():
                return messages.Measured(
                    samples=in_one_process({size: self._samples(size) for size in job.batch_sizes}),
                    traced=dict.fromkeys(job.traces, ""),
                )
        raise AssertionError(job)

    def _samples(self, size: int) -> ProcessSamples:
        return samples(tuple(self._random.gauss(10, 0.1) * size for _ in range(SAMPLES)))
