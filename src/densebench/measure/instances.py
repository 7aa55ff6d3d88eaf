"""A whole server of any engine: processes that each load the artifact and answer on their share of the threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from densebench.engines import _streams
from densebench.errors import Unavailable
from densebench.machine.cpus import INSTANCES
from densebench.measure.answering import IMAGES, Elsewhere, Request

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.artifacts.load import Artifact
    from densebench.engines.base import Session, TraceEvent
    from densebench.processes import messages
    from densebench.schema import Effect


class Instances:
    """A session that answers single calls itself, and several batches at once in processes of their own.

    Args:
        session: the artifact, loaded in this process.
        request_at: batch size -> what each process is to load and to answer.
        streams: how many processes.

    """

    def __init__(self, session: Session, request_at: Callable[[int], Request], streams: int) -> None:
        self._session = session
        self._request_at = request_at
        self.streams = streams
        self.processes: list[Elsewhere] = []
        self._batch_size = 0

    def __call__(self, images: Tensor) -> Tensor:
        return self._session(images)

    def answer(self, images: Tensor, count: int) -> list[float]:
        """Answer `count` batches of as many images, in all processes at once."""
        size = len(images)
        if size != self._batch_size:
            self._open(size)
        batch = [number % IMAGES for number in range(size)]
        return _streams.answered([partial(one.run, batch) for one in self.processes], count)

    def peak_mb(self) -> float | None:
        """Resident memory that the processes took at most, added up, in MB."""
        peaks = [one.peak_mb() for one in self.processes]
        return sum(peak for peak in peaks if peak is not None) if all(peaks) else None

    def close(self) -> None:
        """End the processes; the session in this one is its owner's."""
        for one in self.processes:
            one.close()
        self.processes = []

    def _open(self, size: int) -> None:
        """Processes of another batch size would keep the memory that the former took."""
        self.close()
        request = self._request_at(size)
        self.processes = [Elsewhere(request, number) for number in range(self.streams)]
        for one in self.processes:
            one.open()
        self._batch_size = size

    def effect(self, images: Tensor) -> Effect:
        """As the artifact says."""
        return self._session.effect(images)

    def trace(self, images: Tensor) -> list[TraceEvent] | None:
        """As the artifact traces one inference."""
        return self._session.trace(images)


@contextmanager
def serving(artifact: Artifact, job: messages.Measure) -> Iterator[Session]:
    """The artifact's session, with processes around it where the recipe asks for them.

    Raises:
        Unavailable: more processes than threads.

    """
    streams = asked(os.environ.get(INSTANCES, "1"), job.threads)
    if streams == 1:
        yield artifact.session
        return
    _, channels, height, width = artifact.manifest.input.shape

    def request_at(size: int) -> Request:
        return Request(
            folder=job.folder.resolve(),
            device=job.device,
            shape=(channels, height, width),
            batch_size=size,
            streams=streams,
            threads=job.threads,
            seed=artifact.manifest.probe.seed,
            trust=job.trust,
        )

    session = Instances(artifact.session, request_at, streams)
    try:
        yield session
    finally:
        session.close()


def asked(count: str, threads: int) -> int:
    """How many processes the variable asks for, where `auto` is one for each thread."""
    processes = threads if count == "auto" else int(count)
    if processes > threads:
        raise Unavailable(f"{processes} processes need as many threads, and there are {threads}")
    return processes
