"""Several processes that answer at once, each on its share of the threads. The model stays as it is.

A whole server's images per second, for engines without streams of their own. The threads of one inference wait for
each other at every layer; processes don't. Each process holds the model in its memory. PyTorch's launcher
`torch.backends.xeon.run_cpu --ninstances` serves so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from densebench.machine.cpus import INSTANCES
from densebench.schema import Caveat, Effect
from densebench.techniques.base import Option, Options, Technique, WholeNumberOrAuto, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping


class InstancesOptions(Options):
    """How many."""

    count: Annotated[WholeNumberOrAuto, Option(("auto", 2, 4), cost=0.0)] = Field(
        "auto",
        description="processes that answer at once, each on its share of the threads; auto: one for each thread",
    )


def environment(*, count: int | str = "auto") -> Mapping[str, str]:
    """The variable by which the measuring process knows."""
    return {INSTANCES: str(count)}


def _shared(count: str) -> Effect:
    """The processes that there will be, and their threads: how many answered at once is seen where it is timed."""
    import torch

    threads = torch.get_num_threads()
    instances = threads if count == "auto" else int(count)
    if instances == 1:
        return Effect(none_because="one process has all threads")
    if instances > threads:
        return Effect(none_because=f"{instances} processes need as many threads, and {threads} are there")
    each = threads // instances
    return Effect(seen=(f"{instances} processes of {each} thread{'s' * (each > 1)} answer at once",))


TECHNIQUE = Technique(
    "instances",
    "several processes that answer at once on shares of the threads; images per second are then of all",
    unchanged,
    changes="instances",
    options=InstancesOptions,
    gives=frozenset({"instances"}),
    environment=environment,
    observed={INSTANCES: _shared},
    devices=("cpu",),
    unavailable=lambda device: None if device == "cpu" else "it shares a CPU's threads: give --device cpu",
    caveat=Caveat(
        text=(
            "Serve the model in several processes, each with its share of the threads and of the CPUs: "
            "`python -m torch.backends.xeon.run_cpu --ninstances N` starts programs so."
        ),
    ),
)
