"""The number of threads that an inference runs on. The model stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from densebench.machine.cpus import THREADS
from densebench.schema import Caveat, Effect
from densebench.techniques.base import Option, Options, Technique, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping


class ThreadsOptions(Options):
    """How many."""

    count: Annotated[int, Option((1, 2, 4, 8))] = Field(
        1, ge=1, le=1024, description="threads of one inference"
    )


def environment(*, count: int = 1) -> Mapping[str, str]:
    """The variable that a process starts with."""
    return {THREADS: str(count)}


def _used(count: str) -> Effect:  # noqa: ARG001 - how many there are is looked at
    """The threads that PyTorch computes on."""
    import torch

    used = torch.get_num_threads()
    return Effect(seen=(f"{used} thread{'s' * (used > 1)}",))


TECHNIQUE = Technique(
    "threads",
    "another number of threads than the rest of the sweep has",
    unchanged,
    changes="threads",
    options=ThreadsOptions,
    environment=environment,
    observed={THREADS: _used},
    caveat=Caveat(
        text="The thread count must be set where the deployed process starts: see the artifact's README.",
    ),
)
