"""What the parent asks of its children, and what they answer. Everything crosses the pipe as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from densebench.errors import DensebenchError, Unavailable, UsageError
from densebench.record import Frozen


class Problem(Frozen):
    """A child's error: `kind` says which class of `errors` the parent raises."""

    kind: Literal["usage", "unavailable", "failed", "timed_out"]
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


class Quality(Answer):
    """What an evaluation found. Blank figures have their reason in `reason`."""

    parameters: int
    macs_g: float
    activations: int | None = None
    zero_fraction: float
    model_size_mb: float
    effect: str
    build_s: float
    cold_start_s: float | None  # where it is not just loading and a first inference
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None
    top1_agreement: float | None = None
    output_sqnr_db: float | None = None
    correct_top1: str = ""
    reason: str = ""


class Measure(Loading):
    """Load an artifact in a fresh process and time it at these batch sizes, in this order."""

    kind: Literal["measure"] = "measure"
    batch_sizes: tuple[int, ...]
    timing_file: Path
    sample_seconds: float
    timeout_s: float  # for each batch size
    slow_reason: str
    processes: dict[int, int] = Field(default_factory=dict)  # still needed, this one too, by batch size
    idle_watts: float | None = None  # of the whole machine, or None where its energy is not measured
    traces: dict[int, Path] = Field(default_factory=dict)  # by batch size: taken after all else was measured
    # by batch size: address of the baseline's process that takes turns with it
    beside: dict[int, str] = Field(default_factory=dict)
    precision: float = 0.02  # share: they take more turns until their ratio is known as well
    full_speed_us: float | None = None  # of a piece of arithmetic on the CPUs, by all looks so far


class Accompany(Loading):
    """Load the baseline, and time blocks of it in turn with another process until ended."""

    kind: Literal["accompany"] = "accompany"
    batch_sizes: tuple[int, ...]
    timing_file: Path
    address: str
    timeout_s: float
    full_speed_us: float | None = None


class Block(Frozen):
    """Raw latencies of one process at one batch size, and what it took to get there."""

    samples_ms: tuple[float, ...]
    beside_ms: tuple[float, ...] = ()  # of the baseline's process, in turn with it
    turns: tuple[tuple[int, int], ...] = ()  # how many of each a turn has
    turns_left_out: str = ""  # how many turns don't count, and why, where they are more than a few
    left_out: float = 0.0  # share of the calls: the host held them up, or something disturbed their turn
    page_faults: float | None = None  # of a call: pages of memory that the kernel gave the process anew
    load_s: float
    host_memory_floor_mb: float | None
    # of the process, which has served others by the time that it comes to a second batch size
    first_inference_s: float | None
    host_memory_peak_mb: float | None
    vram_peak_mb: float | None
    vram_driver_peak_mb: float | None
    energy_j_per_image: float | None = None
    disturbance: str = ""  # what else used the machine meanwhile
    looks_us: tuple[float, ...] = ()  # of a piece of arithmetic on the CPUs, now and then


class Measured(Answer):
    """Each batch size's block as it is done, then how each trace went: a problem, or nothing."""

    blocks: dict[int, Block] = Field(default_factory=dict)
    traced: dict[int, str] = Field(default_factory=dict)


class Survey(Frozen):
    """Find out what this machine can do at most, and what it takes when it does nothing."""

    kind: Literal["survey"] = "survey"
    device: str
    threads: int
    environment_id: str
    ceilings: bool  # whether to measure them too, which takes seconds where none are kept from before


class Surveyed(Answer):
    """What rows are judged by."""

    ceilings: dict[str, Any] | None = None
    idle_watts: float | None = None
    energy_method: str = ""  # what measures energy, or why nothing does
    looks_us: tuple[float, ...] = ()
    clock_step_us: float | None = None  # of the clock that times calls: its smallest step


Job = Describe | Survey | Build | Evaluate | Measure | Accompany


class Envelope(Frozen):
    """A job on its way, told apart by its kind."""

    job: Job = Field(discriminator="kind")


def problem_of(error: BaseException) -> Problem:
    """What a child's parent is told of an exception."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UsageError):
        return Problem(kind="usage", message=text)
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
