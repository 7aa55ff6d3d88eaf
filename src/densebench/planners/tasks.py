"""What an executor can be asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from densebench.results.observation import Stage


@dataclass(frozen=True)
class Build:
    """Apply a recipe's techniques and save what its engine makes, for these batch sizes."""

    recipe: str
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Evaluate:
    """Find out what a saved artifact is: its effect, its accuracy, its size, how it does in its user's own program.

    Attributes:
        images: of the validation set; None lets the baseline take as many as there is time for.

    """

    recipe: str
    images: int | None = None


@dataclass(frozen=True)
class Process:
    """One fresh process of a recipe, which is timed at these batch sizes, in this order.

    Attributes:
        pairs: batch sizes at which it is timed in pairs with the reference process.
        rounds: how many more rounds its batch sizes have to be measured in, this one among them.
        traced: batch sizes of which a profiler's trace is still to be taken.

    """

    recipe: str
    batch_sizes: tuple[int, ...]
    pairs: frozenset[int] = frozenset()
    rounds: int = 1
    traced: tuple[int, ...] = ()


@dataclass(frozen=True)
class Round:
    """A complete randomized block: processes of all recipes that still need one, in this order, one at a time."""

    number: int
    stage: Stage
    processes: tuple[Process, ...]

    @property
    def measurements(self) -> int:
        """How many observations it has when it is whole."""
        return sum(len(one.batch_sizes) for one in self.processes)


Task = Build | Evaluate | Round
