"""The nurseries of a run: one for each environment, and one for each baseline that others take turns with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from densebench.isolation import Closed, Nursery
from densebench.jobs import Accompany


class Nurseries(Closed):
    """One nursery for each environment that recipes are measured in, opened when it is first needed.

    Args:
        plain: the variables that all of them have.
        log: file that all children's output is appended to.

    """

    def __init__(self, plain: Mapping[str, str], log: Path) -> None:
        self._plain = plain
        self._log = log
        self._open: dict[frozenset[tuple[str, str]], Nursery] = {}
        self._beside: dict[tuple[int, ...], Nursery] = {}  # by the batch sizes that their child serves
        self.plain = self.of({})

    def of(self, variables: Mapping[str, str]) -> Nursery:
        """The nursery whose children start with these variables beside the plain ones."""
        key = frozenset(variables.items())
        if key not in self._open:
            self._open[key] = Nursery({**self._plain, **variables}, self._log)
        return self._open[key]

    @contextmanager
    def beside(self, job: Accompany, timeout_s: float) -> Iterator[None]:
        """A child of the plain environment beside those of the others, which come and go; it waits until asked."""
        if job.batch_sizes not in self._beside:
            self._beside[job.batch_sizes] = Nursery(self._plain, self._log)
        with self._beside[job.batch_sizes].living(job, timeout_s):
            yield

    def close(self) -> None:
        """End whatever runs in any of them."""
        for nursery in (*self._beside.values(), *self._open.values()):
            nursery.close()
