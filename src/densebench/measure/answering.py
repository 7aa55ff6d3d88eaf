"""What answers queries: the artifact loaded in this process, or in one of its own where there are several.

Sessions of one process would share PyTorch's pool of threads, and wait for each other.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from densebench.errors import CellFailed, UsageError
from densebench.machine.cpus import THREADS, by_core
from densebench.measure.memory import peak_mb
from densebench.processes.child import END_LIMIT_S, Child, end_with_parent
from densebench.schema import Frozen

if TYPE_CHECKING:
    from torch import Tensor

IMAGES = 64  # different ones that batches are made of, in memory before a clock starts
MOST_BYTES = 1 << 17  # of one packet: a batch's numbers


class Request(Frozen):
    """One artifact that streams answer with."""

    folder: Path
    device: str
    shape: tuple[int, int, int]  # of one image: channels, height, width
    batch_size: int
    streams: int
    threads: int  # of all streams together
    seed: int
    trust: bool

    @property
    def stream_threads(self) -> int:
        """Threads that each stream computes with."""
        return self.threads // self.streams


class Stream(Protocol):
    """One synchronous stream of inferences."""

    def open(self) -> None:
        """Load the artifact, make the images and warm up. Belongs to the thread that will call `run`."""
        ...

    def run(self, numbers: Sequence[int]) -> None:
        """Answer for the images of these numbers, as one batch; return when the logits are there."""
        ...

    def close(self) -> None:
        """End what was opened."""
        ...


class Here:
    """A session in this process."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def open(self) -> None:
        import torch

        from densebench.artifacts.load import open_checked
        from densebench.measure.device import open_device
        from densebench.measure.timer import Timer
        from densebench.model.fidelity import probe_images

        asked = self._request
        torch.set_num_threads(asked.stream_threads)
        if asked.device == "cuda" and not torch.cuda.is_available():
            raise UsageError(f"{asked.folder} is built for cuda, and there is none here: build it for cpu")
        self._device = open_device(asked.device)
        self._artifact = open_checked(asked.folder, asked.device, trust=asked.trust)
        self._images = probe_images(asked.shape, asked.seed, IMAGES).to(asked.device)
        full = [number % IMAGES for number in range(asked.batch_size)]
        self.run(full)
        Timer(lambda: self.run(full), self._device, asked.stream_threads).warm_up(0.0, math.inf)

    def run(self, numbers: Sequence[int]) -> None:
        self._artifact(self._batch(numbers))
        self._device.synchronize()

    def _batch(self, numbers: Sequence[int]) -> Tensor:
        """The images, made up to the batch size: some artifacts take no other, and some would compile again."""
        if len(numbers) == self._request.batch_size == 1:
            return self._images[numbers[0] : numbers[0] + 1]
        padding = [numbers[-1]] * (self._request.batch_size - len(numbers))
        return self._images[[*numbers, *padding]]

    def close(self) -> None:
        self._artifact.close()


def share(cpus: Sequence[int], request: Request, number: int) -> list[int]:
    """The CPUs of the stream of this number: its own, one for each thread, where there are as many.

    An engine may fix its threads to CPUs, beginning with the first that the process may use: several processes that
    may use all would compute on the same ones.
    """
    threads = request.stream_threads
    enough = len(cpus) >= request.streams * threads
    return sorted(cpus[number * threads : (number + 1) * threads] if enough else cpus)


class Elsewhere:
    """A session in a process of its own, with its share of the threads and of the CPUs."""

    def __init__(self, request: Request, number: int) -> None:
        every = by_core(frozenset(os.sched_getaffinity(0)))
        cpus = share(every, request, number) if request.device == "cpu" else every
        command = [sys.executable, "-m", "densebench.measure.answering", ",".join(map(str, cpus))]
        variables = os.environ | {THREADS: str(request.stream_threads)}
        self._child = Child(command, environment=variables, kind=socket.SOCK_SEQPACKET)
        only = request.model_dump_json(include=set(Request.model_fields))
        self._child.socket.send(only.encode())

    def open(self) -> None:
        self._hear()

    def run(self, numbers: Sequence[int]) -> None:
        self._child.socket.send(json.dumps(list(numbers)).encode())
        self._hear()

    def peak_mb(self) -> float | None:
        """Highest resident memory of the process so far, in MB."""
        return peak_mb(self._child.process.pid)

    def _hear(self) -> None:
        try:
            packet = self._child.socket.recv(MOST_BYTES)
        except OSError:
            packet = b""
        if not packet:
            raise CellFailed("one of the streams' processes ended by itself (out of memory?)")
        if problem := json.loads(packet):
            raise CellFailed(problem)

    def close(self) -> None:
        self._child.end(END_LIMIT_S)  # as soon as the socket is closed it ends by itself


def serve(parent: socket.socket) -> None:
    """The process's whole story: a request comes first, then one batch after the other, each answered."""
    with parent:
        stream = Here(Request.model_validate_json(parent.recv(MOST_BYTES)))
        try:
            stream.open()
            parent.send(json.dumps("").encode())
            while packet := parent.recv(MOST_BYTES):
                stream.run(json.loads(packet))
                parent.send(json.dumps("").encode())
        except OSError:
            return  # who asked is gone
        except Exception as error:
            parent.send(json.dumps(f"{type(error).__name__}: {error}").encode())
            raise


if __name__ == "__main__":
    end_with_parent()
    os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
    serve(socket.socket(fileno=int(sys.argv[2])))
