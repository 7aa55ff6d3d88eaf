"""The number of threads that an inference runs on. The model stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from densebench.techniques.base import THREADS, Options, Technique, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping


class ThreadsOptions(Options):
    """How many."""

    count: int = Field(1, ge=1, le=1024, description="threads of one inference")


def environment(*, count: int = 1) -> Mapping[str, str]:
    """The variable that a process starts with."""
    return {THREADS: str(count)}


TECHNIQUE = Technique(
    "threads",
    "another number of threads than the rest of the sweep has",
    unchanged,
    changes="threads",
    options=ThreadsOptions,
    environment=environment,
    caveat="The thread count must be set where the deployed process starts: see the artifact's README.",
)
