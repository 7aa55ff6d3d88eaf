"""The fork servers of a run: one for each environment, and one for each reference process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from densebench.errors import CellFailed
from densebench.processes.fork_server import ForkServer
from densebench.processes.messages import Reference

# the variables of its children beside the plain ones, and the batch size of a reference process, 0 for others
Key = tuple[frozenset[tuple[str, str]], int]
PLAIN: Key = (frozenset(), 0)


class ForkServerPool(AbstractContextManager["ForkServerPool"]):
    """One fork server for each environment that recipes are measured in, started when it is first needed.

    Args:
        plain: the variables that all of them have.
        log: file that all children's output is appended to.

    """

    def __init__(self, plain: Mapping[str, str], log: Path) -> None:
        self._plain = plain
        self._log = log
        self._servers: dict[Key, ForkServer] = {}
        self._asked: set[Key] = set()  # for, since there are these
        self._of(PLAIN)  # starts while the parent does other things

    @property
    def plain(self) -> ForkServer:
        """The one whose children have the plain variables."""
        return self._of(PLAIN)

    def of(self, variables: Mapping[str, str]) -> ForkServer:
        """The fork server whose children start with these variables beside the plain ones."""
        return self._of((frozenset(variables.items()), 0))

    def keep_log(self, path: Path) -> None:
        """Give the log this name, in the same folder; whoever writes to it already goes on."""
        self._log = self._log.rename(path)

    def reference(self, job: Reference, timeout_s: float) -> AbstractContextManager[None]:
        """A reference process, alive and ready as long as the block lasts, while other children come and go."""
        return self._of((frozenset(), job.batch_size)).living(job, timeout_s)

    def renew(self) -> None:
        """Fork from new processes from now on, as far as they were asked for since the last time.

        Forks of one process have the same address space, and with it the same conflicts in caches and tables: what
        they inherit is the same for all, but another in the next run. They start side by side, before anything runs.
        """
        former, self._servers = self._servers, {}
        for key in {*self._asked, PLAIN}:
            self._start(key)
        self._asked = set()
        for fork_server in former.values():
            fork_server.close()
        for fork_server in self._servers.values():
            with suppress(CellFailed):  # who needs it is told
                fork_server.wait_until_ready()

    def close(self) -> None:
        """End whatever runs in any of them."""
        for fork_server in self._servers.values():
            fork_server.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _of(self, key: Key) -> ForkServer:
        self._asked.add(key)
        if key in self._servers and not self._servers[key].alive:
            self._servers.pop(key).close()  # one recipe's misfortune, not that of all after it
        return self._servers.get(key) or self._start(key)

    def _start(self, key: Key) -> ForkServer:
        self._servers[key] = ForkServer({**self._plain, **dict(key[0])}, self._log)
        return self._servers[key]
