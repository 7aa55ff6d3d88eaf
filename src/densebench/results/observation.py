"""What one child said of one task: the lines of the journal, from which all rows follow.

An observation is written once and never changed. What a later build makes obsolete, and what a round lacks that was
cut short, is left out when the journal is read (`results.current`), not when it is written.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import chain
from typing import Annotated, Literal

from pydantic import Field

from densebench.machine.interference import Interference
from densebench.schema import Caveat, Effect, Frozen

Stage = Literal["sweep", "confirmation"]  # what a measurement is for: a row, or the check of a choice


class Status(StrEnum):
    """How a task, and a row, ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class Pair(Frozen):
    """Two slices, one after the other: single calls of the measured and of the reference process, in ms."""

    own_ms: tuple[float, ...]
    reference_ms: tuple[float, ...]


class ProcessSamples(Frozen):
    """What one fresh process measured at one batch size, and what it took to get there.

    Attributes:
        samples_ms: single calls, where no reference process was alive.
        pairs: where one was, the pairs that count.
        left_out: share of the calls that don't count: the host or something else held them up.
        page_faults: pages of memory that the kernel gave the process anew, of a call.
        first_inference_s: like the peaks of memory only of the batch size that the process began with.
        power_limited: the GPU ran at its power limit.
        streams: how many batches were answered at once; above 1 a sample is the mean time from answer to answer.

    """

    samples_ms: tuple[float, ...] = ()
    pairs: tuple[Pair, ...] = ()
    left_out: float = 0.0
    page_faults: float | None = None
    load_s: float | None = None
    host_memory_floor_mb: float | None = None
    first_inference_s: float | None = None
    host_memory_peak_mb: float | None = None
    vram_peak_mb: float | None = None
    vram_driver_peak_mb: float | None = None
    energy_j_per_image: float | None = None
    interference: tuple[Interference, ...] = ()
    power_limited: bool = False
    streams: int = 1

    @property
    def own_ms(self) -> tuple[float, ...]:
        """All single calls of the process that count, in ms."""
        return (*self.samples_ms, *chain.from_iterable(pair.own_ms for pair in self.pairs))


class _Observed(Frozen):
    """What every observation says."""

    recipe: str
    status: Status = Status.OK
    reason: str = ""
    limit_s: float | None = None  # the --cell-timeout that it was predicted to pass, or that ended it
    started_at: str  # UTC, ISO 8601
    spent_s: float = 0.0


class BuildObservation(_Observed):
    """A recipe was built, or was not."""

    kind: Literal["build"] = "build"
    steps: str
    batch_sizes: tuple[int, ...] = ()  # that the artifact was built for
    any_batch: bool = False  # it serves others as well


class Evaluated(Frozen):
    """What an artifact was found to be. Every row of the recipe carries it."""

    artifact: str
    precision: str = ""
    process_setting: bool = False
    threads: int
    caveats: tuple[Caveat, ...] = ()
    effect: Effect | None = None
    parameters: int | None = None
    macs_g: float | None = None
    activations: int | None = None
    zero_fraction: float | None = None
    model_size_mb: float | None = None
    build_s: float | None = None
    cold_start_s: float | None = None
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None
    top1_agreement: float | None = None
    output_sqnr_db: float | None = None
    agreement_images: int | None = None  # without labels: how many images agreement and SQNR are of
    agreement_on_noise: bool = False  # these are random numbers, and no pictures
    correct_top1: str = ""
    validation_images: int | None = None
    all_images_s: float | None = None
    reason: str = ""
    deploy_batch_size: int | None = None
    deploy_start_s: float | None = None
    deploy_memory_mb: float | None = None
    deploy_throughput_samples_per_s: float | None = None
    deploy_reason: str = ""


class EvaluateObservation(_Observed):
    """A saved artifact was loaded, checked and evaluated, or could not be."""

    kind: Literal["evaluate"] = "evaluate"
    found: Evaluated | None = None


class MeasureObservation(_Observed):
    """One process timed one recipe at one batch size, or could not.

    Attributes:
        of: how many such observations the round has when it is whole, those that are `discarded` not counted.
        discarded: others used the machine meanwhile, and the process was repeated.
        out_of_memory: as it was here, it will be at larger batch sizes.
        trace: the profiler's, relative to the log folder.

    """

    kind: Literal["measure"] = "measure"
    stage: Stage = "sweep"
    round: int
    of: int
    batch_size: int
    discarded: bool = False
    out_of_memory: bool = False
    samples: ProcessSamples | None = None
    trace: str = ""

    @property
    def cell(self) -> tuple[str, int]:
        return (self.recipe, self.batch_size)


Observation = Annotated[
    BuildObservation | EvaluateObservation | MeasureObservation, Field(discriminator="kind")
]
