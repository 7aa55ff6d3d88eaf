"""The nurseries of a run: one for each environment, and one for each baseline that others take turns with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from densebench.closed import Closed
from densebench.errors import CellFailed
from densebench.isolation import Nursery
from densebench.jobs import Accompany

PLAIN: frozenset[tuple[str, str]] = frozenset()


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
        self._asked: set[frozenset[tuple[str, str]]] = set()  # for, since there are these
        self.of({})  # starts while the parent does other things

    @property
    def plain(self) -> Nursery:
        """The one whose children have the plain variables."""
        return self.of({})

    def of(self, variables: Mapping[str, str]) -> Nursery:
        """The nursery whose children start with these variables beside the plain ones."""
        key = frozenset(variables.items())
        self._asked.add(key)
        if (
            key in self._open and not self._open[key].alive
        ):  # one recipe's misfortune, not that of all after it
            self._open.pop(key).close()
        if key not in self._open:
            self._open[key] = Nursery({**self._plain, **variables}, self._log)
        return self._open[key]

    @contextmanager
    def beside(self, job: Accompany, timeout_s: float) -> Iterator[None]:
        """A child of the plain environment beside those of the others, which come and go; it waits until asked."""
        former = self._beside.get(job.batch_sizes)
        if former is not None and not former.alive:
            self._beside.pop(job.batch_sizes).close()
        if job.batch_sizes not in self._beside:
            self._beside[job.batch_sizes] = Nursery(self._plain, self._log)
        with self._beside[job.batch_sizes].living(job, timeout_s):
            yield

    def renew(self) -> None:
        """Fork from new processes from now on, in the environments that were asked for since the last time.

        Forks of one process have the same address space, and with it the same conflicts in caches and tables: what
        they inherit is the same for all, but another in the next run. They start side by side, before anything runs.
        """
        former = [*self._open.values(), *self._beside.values()]
        self._open = {key: Nursery({**self._plain, **dict(key)}, self._log) for key in {*self._asked, PLAIN}}
        self._beside = {sizes: Nursery(self._plain, self._log) for sizes in self._beside}
        self._asked = set()
        for nursery in former:
            nursery.close()
        for nursery in (*self._open.values(), *self._beside.values()):
            with suppress(CellFailed):  # who needs it is told
                nursery.wait_until_ready()

    def close(self) -> None:
        """End whatever runs in any of them."""
        for nursery in (*self._beside.values(), *self._open.values()):
            nursery.close()
