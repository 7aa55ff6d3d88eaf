"""Every error that densebench raises on purpose.

DensebenchError
├── UsageError          the request is wrong: one line, exit 2, nothing written
│   ├── InputError      a file, folder or checkpoint that the request names can't be used
│   └── RefusedArtifact an artifact that is damaged, foreign or from a newer densebench
├── Unavailable         can't be done on this machine: the row is `skipped` with this text
└── CellFailed          a child process ended without a result: the row is `failed`
    └── CellTimedOut    it was ended for taking too long: the row is `timed_out`

Each message says what to change, in one line.
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)


class DensebenchError(Exception):
    """Base of all errors that are meant to be read by a person."""


class UsageError(DensebenchError):
    """The request can't be carried out as it stands."""


class InputError(UsageError):
    """A file or folder named in the request can't be used."""


class RefusedArtifact(UsageError):  # noqa: N818 - a refusal is the word that users read
    """An artifact that must not be loaded."""


class Unavailable(DensebenchError):  # noqa: N818 - a state of the machine, not a fault
    """A recipe needs what this machine lacks."""


class TooSlow(Unavailable):
    """A call predicts that the rest would outlast `--cell-timeout`."""


class CellFailed(DensebenchError):  # noqa: N818
    """A child process ended without a result.

    Args:
        message: the last line of the child's error, or the signal that ended it.
        out_of_memory: whether memory ran out, so that larger batches need not be tried.

    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class CellTimedOut(CellFailed):
    """A child process was ended because it outlasted its limit."""


def remedy(error: OSError) -> str:
    """What helps against what the system refused: room where it ran out, else only that its reason goes away."""
    return "make room" if error.errno in FULL else "mend that"
