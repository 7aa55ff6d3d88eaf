"""Where queries wait for a free stream: one queue, and a thread for each stream that takes from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from densebench.loadtest.plan import Sample
from densebench.measure.answering import Stream

Batch = Sequence[Sample]


class Desk:
    """Streams at work until it is closed.

    Args:
        streams: what answers.
        batch_size: how many samples of one query are answered together.
        completed: told of each batch as soon as it is answered.
        failed: told what a stream raised; as no query may stay unanswered, it must end the process.

    """

    def __init__(
        self,
        streams: Sequence[Stream],
        batch_size: int,
        completed: Callable[[Batch], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._batch_size = batch_size
        self._completed = completed
        self._failed = failed
        self._opened = threading.Barrier(len(streams) + 1)
        self._threads = [
            threading.Thread(target=self._work, args=(stream,), daemon=True) for stream in streams
        ]
        for thread in self._threads:
            thread.start()
        self._opened.wait()

    def issue(self, samples: Batch) -> None:
        """Take a query and return at once."""
        for first in range(0, len(samples), self._batch_size):
            self._queue.put(samples[first : first + self._batch_size])

    def close(self) -> None:
        """End the threads and their streams, once all queries are answered."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, stream: Stream) -> None:
        try:
            stream.open()
            self._opened.wait()
            while (batch := self._queue.get()) is not None:
                stream.run([sample.index for sample in batch])
                self._completed(batch)
            stream.close()
        except BaseException as error:  # noqa: BLE001 - whatever it was, the process says so and ends
            self._failed(error)
