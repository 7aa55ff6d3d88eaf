"""What the parent asks of its children, and what they answer. Everything crosses the pipe as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from densebench.errors import DensebenchError, TooSlow, Unavailable, UsageError
from densebench.results.observation import ProcessSamples
from densebench.schema import Effect, Frozen


class Problem(Frozen):
    """A child's error: `kind` says which class of `errors` the parent raises."""

    kind: Literal["usage", "unavailable", "too_slow", "failed", "timed_out"]
    message: str
    out_of_memory: bool = False


class Answer(Frozen):
    """What a child says of its job."""

    ended: Problem | None = None  # what became of it after it had answered, if all was not well


class WorkloadJob(Frozen):
    """Which workload a child opens."""

    model: str
    weights: str
    data: str
    image_size: int
    seed: int


class Describe(Frozen):
    """Open the workload once, check it, and leave the timing images where measuring children find them."""

    kind: Literal["describe"] = "describe"
    workload: WorkloadJob
    device: Literal["auto", "cpu", "cuda"]
    batch_sizes: tuple[int, ...]
    timing_file: Path
    threads: int


class Described(Answer):
    """What the workload turned out to be."""

    workload: WorkloadJob  # with `auto` resolved
    device: str
    weights: str
    data: str
    weights_sha256: str
    parameters: int
    validation_images: int
    calibration_images: int = 0  # that INT8 may be calibrated on at most
    batch1_ms: float  # one FP32 inference of one image, for estimates
    notes: tuple[str, ...]


class Build(Frozen):
    """Apply a recipe's techniques, let its engine build the artifact, and save it."""

    kind: Literal["build"] = "build"
    workload: WorkloadJob
    recipe: str
    named: dict[str, str]
    device: str
    batch_sizes: tuple[int, ...]
    folder: Path
    threads: int


class BuildDone(Answer):
    """The artifact is there."""

    build_s: float


class Loading(Frozen):
    """What every child is told that loads an artifact."""

    folder: Path
    device: str
    threads: int
    trust: bool


class Evaluate(Loading):
    """Load an artifact; check it against its probe, count its effect, measure its accuracy."""

    kind: Literal["evaluate"] = "evaluate"
    workload: WorkloadJob
    batch_size: int
    reference: Path  # the baseline's outputs: written if `is_reference`, else compared with
    is_reference: bool
    seconds: float
    images: int  # how many of the validation images; which ones follows from the workload's seed
    may_take_fewer: bool = False  # where these would take longer than `seconds`


class Quality(Answer):
    """What an evaluation found. Blank figures have their reason in `reason`."""

    parameters: int
    macs_g: float
    activations: int | None = None
    zero_fraction: float
    model_size_mb: float
    effect: Effect
    build_s: float
    cold_start_s: float | None  # where it is not just loading and a first inference
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None
    top1_agreement: float | None = None
    output_sqnr_db: float | None = None
    agreement_images: int | None = None  # without labels: how many images agreement and SQNR are of
    agreement_on_noise: bool = False  # these are random numbers, and no pictures
    correct_top1: str = ""
    validation_images: int | None = None  # that there are; accuracy may be of fewer
    all_images_s: float | None = None  # what all would take, where that was too long
    reason: str = ""


class Measure(Loading):
    """Load an artifact in a fresh process and time it at these batch sizes, in this order."""

    kind: Literal["measure"] = "measure"
    batch_sizes: tuple[int, ...]
    timing_file: Path
    sample_seconds: float
    timeout_s: float  # for each batch size
    slow_reason: str  # why it is known to be slow here; then the limit is for all `rounds` together
    rounds: int = 1  # that are still to come, this one among them
    idle_watts: float | None = None  # of the whole machine, or None where its energy is not measured
    traces: dict[int, Path] = Field(default_factory=dict)  # by batch size: taken after all else was measured
    references: dict[int, str] = Field(default_factory=dict)  # by batch size: the reference process's address
    pairs: dict[int, int] = Field(default_factory=dict)  # by batch size: how many to take with it


class Reference(Loading):
    """Load the baseline, and time slices of it in turn with another process until ended."""

    kind: Literal["reference"] = "reference"
    batch_size: int
    timing_file: Path
    address: str  # path of the socket that it listens at
    timeout_s: float


class Measured(Answer):
    """What was measured at each batch size as it is done, then how each trace went: a problem, or nothing."""

    samples: dict[int, ProcessSamples] = Field(default_factory=dict)
    traced: dict[int, str] = Field(default_factory=dict)


class Survey(Frozen):
    """Find out what this machine can do at most, and what it takes when it does nothing."""

    kind: Literal["survey"] = "survey"
    device: str
    threads: int
    environment_id: str
    ceilings: bool  # whether to measure them too, which takes seconds


class Surveyed(Answer):
    """What rows are judged by."""

    ceilings: dict[str, Any] | None = None
    idle_watts: float | None = None
    energy_method: str = ""  # what measures energy, or why nothing does
    clock_step_us: float | None = None  # of the clock that times calls: its smallest step


Job = Describe | Survey | Build | Evaluate | Measure | Reference


class Envelope(Frozen):
    """A job on its way, told apart by its kind."""

    job: Job = Field(discriminator="kind")


def problem_of(error: BaseException) -> Problem:
    """What a child's parent is told of an exception."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UsageError):
        return Problem(kind="usage", message=text)
    if isinstance(error, TooSlow):
        return Problem(kind="too_slow", message=text)
    if isinstance(error, Unavailable):
        return Problem(kind="unavailable", message=text)
    out_of_memory = isinstance(error, MemoryError) or ("memory" in text.lower() and "alloc" in text.lower())
    named = text if isinstance(error, DensebenchError) else f"{type(error).__name__}: {text}"
    return Problem(kind="failed", message=_shortened(named), out_of_memory=out_of_memory)


def _shortened(text: str, most: int = 500) -> str:
    """The beginning; a compiler's own words after it where its command line would take all the room."""
    told = text.find(" error: ", 100)
    return text[:most] if len(text) <= most or told < 0 else f"{text[:100]}…{text[told:][: most - 101]}"


class Message(Frozen):
    """One line from a child: a stage it enters, its answer or a part of it, or what went wrong."""

    stage: str = ""
    result: dict[str, object] | None = None
    problem: Problem | None = None
