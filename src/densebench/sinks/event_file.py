"""TensorBoard's event file, written at once: no queue, and no thread to wake up while a child measures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

SUFFIX = ".densebench"  # tells our files from anyone else's in the log folder


class EventFile:
    """A new event file in `folder`, which is made if it is missing.

    Args:
        folder: the run's folder.
        part: a word in the file's name, for a writer that wants to find its own files again.

    """

    _count = 0

    def __init__(self, folder: Path, part: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        EventFile._count += 1
        name = f"events.out.tfevents.{time.time_ns()}.{EventFile._count}"
        self.path = folder / f"{name}{part and '.' + part}{SUFFIX}"
        self._file = self.path.open("xb")
        self._writer = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, wall_time: float, step: int, summary: Summary) -> None:
        """Append one summary; `wall_time` in seconds since 1970."""
        self._write(Event(wall_time=wall_time, step=step, summary=summary))

    def flush(self) -> None:
        """Let readers see what was added."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and take it away."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def event_files(folder: Path, part: str = "") -> list[Path]:
    """The files that an `EventFile` of this part left in a folder; without a part those of all of them."""
    return list(folder.glob(f"events.out.tfevents.*{part and '.' + part}{SUFFIX}"))
