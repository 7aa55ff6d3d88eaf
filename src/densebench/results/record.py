"""The row: what was asked for, what happened, and what was measured.

A `Record` is what all observations of one recipe at one batch size amount to: facts and raw samples. A `Row` is the
record with everything that follows from it and from the baseline's record (`derive.py`). `columns.py` names the
figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from densebench.results.observation import ProcessSamples, Stage, Status
from densebench.schema import Caveat, Effect, Frozen
from densebench.stats.speedup import Process, Verdict, process


class TimedProcess(Frozen):
    """What a fresh process measured in a round; those of one round ran close to one another."""

    round: int
    samples: ProcessSamples


class Record(Frozen):
    """One recipe at one batch size: what all its observations amount to."""

    model: str
    recipe: str
    steps: str
    batch_size: int
    device: str
    status: Status
    reason: str = ""
    stage: Stage = "sweep"

    timed_processes: tuple[TimedProcess, ...] = ()
    left_out: float = 0.0  # share of the calls: the host or something else held them up
    stable: bool | None = None
    host_memory_floor_mb: float | None = None
    host_memory_peak_mb: float | None = None
    vram_peak_mb: float | None = None
    vram_driver_peak_mb: float | None = None
    model_size_mb: float | None = None
    parameters: int | None = None
    macs_g: float | None = None
    activations: int | None = (
        None  # elements of one image that convolutions and other products read and write
    )
    zero_fraction: float | None = None
    process_setting: bool = (
        False  # whether the recipe only sets something of the process, and no model or engine
    )
    precision: str = ""  # what most multiplications run in
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None
    top1_agreement: float | None = None
    output_sqnr_db: float | None = None
    agreement_images: int | None = None  # without labels: how many images agreement and SQNR are of
    agreement_on_noise: bool = False  # these are random numbers, and no pictures
    correct_top1: str = ""  # validation image by validation image, '1' where the top class is right
    validation_images: int | None = None  # that there are; `correct_top1` may be of fewer
    all_images_s: float | None = None  # what accuracy on all of them would take, where that was too long
    effect: Effect | None = None  # None where nothing was evaluated
    caveats: tuple[Caveat, ...] = ()  # what a deployer should know about this technique or format
    build_s: float | None = None
    load_s: float | None = None
    first_inference_s: float | None = None
    cold_start_s: float | None = None
    deploy_batch_size: int | None = None  # that the README's code was run at, in a fresh interpreter
    deploy_start_s: float | None = None
    deploy_memory_mb: float | None = None
    deploy_throughput_samples_per_s: float | None = None
    deploy_reason: str = ""  # why some of these are blank
    roofline_fraction: float | None = None  # of the machine's ceiling, where that is known
    energy_j_per_image: float | None = None
    interference: str = ""  # what else used the machine
    power_limited: bool = False  # the GPU ran at its power limit, in some process
    artifact: str = ""
    traces: tuple[str, ...] = ()  # profiler traces, relative to the log folder

    image_size: int
    weights: str
    data: str
    threads: int
    seed: int
    environment_id: str
    started_at: str

    @property
    def key(self) -> tuple[str, int]:
        return (self.recipe, self.batch_size)

    @property
    def agreement_on(self) -> str:
        """What agreement and SQNR were seen on: `64 random images`, or `the images` of the accuracy."""
        if self.agreement_images is None:
            return "the images"
        return f"{self.agreement_images} {'random' if self.agreement_on_noise else 'unlabelled'} images"

    @property
    def all_samples_ms(self) -> tuple[float, ...]:
        return tuple(chain.from_iterable(one.samples.own_ms for one in self.timed_processes))

    @property
    def streams(self) -> int:
        """How many batches were answered at once; above 1 no time is the latency of a batch."""
        return max((one.samples.streams for one in self.timed_processes), default=1)

    @property
    def rounds(self) -> set[int]:
        """The rounds in which it was measured."""
        return {one.round for one in self.timed_processes}

    @property
    def paired(self) -> bool:
        """Whether any of its processes was timed in pairs with a reference process."""
        return any(one.samples.pairs for one in self.timed_processes)

    @property
    def processes_by_round(self) -> list[Process]:
        """Each process's round and figures, as the statistics take them."""
        return [
            process(
                one.round,
                one.samples.samples_ms,
                [(pair.own_ms, pair.reference_ms) for pair in one.samples.pairs],
            )
            for one in self.timed_processes
        ]


class Row(Record):
    """A record with its derived figures. Fractions are 0..1, accuracies and their differences percent."""

    latency_mean_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    throughput_samples_per_s: float | None = None
    throughput_ci_low: float | None = None
    throughput_ci_high: float | None = None
    speedup: float | None = None
    speedup_ci_low: float | None = None
    speedup_ci_high: float | None = None
    verdict: Verdict | None = None
    samples: int = 0
    processes: int = 0
    accuracy_drop_pp: float | None = None
    accuracy_drop_ci_high_pp: float | None = None
    accuracy_top1_ci_low: float | None = None
    accuracy_top1_ci_high: float | None = None
    accuracy_drop_p: float | None = None  # of no difference at all: McNemar's exact test
    images_lost: int | None = None  # right with the baseline, wrong now
    images_won: int | None = None
    break_even_images: int | None = None
    blank: tuple[str, ...] = ()  # why figures are blank, where the row is ok

    @property
    def reasons(self) -> str:
        """What the column `reason` says: the record's own reason, and what follows from the samples."""
        return "; ".join(filter(None, (self.reason, *self.blank)))

    @property
    def effect_text(self) -> str:
        """What the column `effect` says."""
        return "" if self.effect is None else str(self.effect)


def recipes_in_order(rows: Sequence[Row]) -> list[str]:
    """The recipes' names in the order of their first row."""
    return list(dict.fromkeys(row.recipe for row in rows))
