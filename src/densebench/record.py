"""The row: what was asked for, what happened, and what was measured.

A `Record` is what the journal keeps: facts and raw samples of one recipe at one batch size. A `Row` is the record
with everything that follows from it and from the baseline's record (`rows.py`). `COLUMNS` names every figure once,
with its unit, for the CSV, TensorBoard, the console, the report and the docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Literal

from pydantic import BaseModel, ConfigDict

from densebench.stats.comparison import Block, Verdict, blocks

BASELINE = "baseline"


class Status(StrEnum):
    """How a row ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class Frozen(BaseModel):
    """Base of what passes between stages: validated, immutable, finite, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Record(Frozen):
    """One recipe at one batch size, as the journal keeps it."""

    model: str
    recipe: str
    steps: str
    batch_size: int
    device: str
    status: Status
    reason: str = ""

    samples_ms: tuple[tuple[float, ...], ...] = ()  # raw latencies: one inner tuple per measuring process
    beside_ms: tuple[
        tuple[float, ...], ...
    ] = ()  # of the baseline's process in turn with each of them, or nothing
    turns: tuple[tuple[tuple[int, int], ...], ...] = ()  # calls of both in each turn of each process
    left_out: float = 0.0  # share of the calls: the host held them up, or something disturbed their turn
    page_faults: tuple[
        float | None, ...
    ] = ()  # of a call of each process: memory that the kernel gave it anew
    rounds: tuple[int, ...] = ()  # the round of each process; those of one round ran close to one another
    adaptive: bool = False  # whether the number of rounds was decided by looking at the interval
    stable: bool | None = None
    host_memory_floor_mb: float | None = None
    host_memory_peak_mb: float | None = None
    vram_peak_mb: float | None = None
    vram_driver_peak_mb: float | None = None
    model_size_mb: float | None = None
    parameters: int | None = None
    macs_g: float | None = None
    activations: int | None = None  # elements of one image that convolutions and linear layers read and write
    zero_fraction: float | None = None
    precision: str = ""  # what most multiplications run in
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None
    top1_agreement: float | None = None
    output_sqnr_db: float | None = None
    correct_top1: str = ""  # validation image by validation image, '1' where the top class is right
    effect: str = ""
    caveats: tuple[str, ...] = ()  # what a deployer should know about this technique or format
    build_s: float | None = None
    load_s: float | None = None
    first_inference_s: float | None = None
    cold_start_s: float | None = None
    roofline_fraction: float | None = None
    energy_j_per_image: float | None = None
    disturbance: str = ""
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
    def all_samples_ms(self) -> tuple[float, ...]:
        return tuple(chain.from_iterable(self.samples_ms))

    @property
    def blocks(self) -> list[Block]:
        """Each process's round and mean. Without rounds, as before there were any, each has one of its own."""
        return blocks(self.samples_ms, self.rounds or range(len(self.samples_ms)), self.beside_ms, self.turns)


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


@dataclass(frozen=True)
class Column:
    """How one figure is named, printed and explained. `better` says which way is good, where one is."""

    name: str
    about: str
    unit: str = ""
    decimals: int | None = None  # None: text, or a whole number
    better: Literal["higher", "lower"] | None = None

    def text(self, row: Row) -> str:
        """The figure as printed in the CSV: blank when it was not measured."""
        value = row.reasons if self.name == "reason" else getattr(row, self.name)
        if value is None:
            return ""
        if self.decimals is not None:
            return f"{value:.{self.decimals}f}"
        return str(value).lower() if isinstance(value, bool) else str(value)


COLUMNS: tuple[Column, ...] = (
    Column("model", "the model's name"),
    Column("recipe", "the recipe's name"),
    Column("steps", "the recipe in one line: techniques, then the engine"),
    Column("batch_size", "images in one inference", "images"),
    Column("device", "where it ran"),
    Column("status", "ok, skipped, failed or timed_out"),
    Column("reason", "why the row is not ok, or why a figure is blank"),
    Column("latency_mean_ms", "mean time of one batch", "ms", 4, "lower"),
    Column("latency_p50_ms", "median time of one batch", "ms", 4, "lower"),
    Column("latency_p90_ms", "90th percentile of the time of one undisturbed batch", "ms", 4, "lower"),
    Column("latency_p95_ms", "95th percentile of the time of one undisturbed batch", "ms", 4, "lower"),
    Column("latency_p99_ms", "99th percentile of the time of one undisturbed batch", "ms", 4, "lower"),
    Column("throughput_samples_per_s", "images a second, one synchronous stream", "images/s", 3, "higher"),
    Column("throughput_ci_low", "lower end of the throughput's 95 % interval", "images/s", 3),
    Column("throughput_ci_high", "upper end of the throughput's 95 % interval", "images/s", 3),
    Column(
        "speedup",
        "times as fast as the baseline at the same batch size, within rounds or turns",
        "x",
        4,
        "higher",
    ),
    Column("speedup_ci_low", "lower end of the speed-up's 95 % interval", "x", 4),
    Column("speedup_ci_high", "upper end of the speed-up's 95 % interval", "x", 4),
    Column("verdict", "faster, slower, same or unclear"),
    Column("samples", "timed batches"),
    Column("processes", "fresh processes that the timed batches come from"),
    Column("stable", "whether the row was measured undisturbed"),
    Column("host_memory_floor_mb", "resident memory of the loaded framework, before the model", "MB", 1),
    Column(
        "host_memory_peak_mb",
        "peak resident memory of a process that has served this batch size alone",
        "MB",
        1,
        "lower",
    ),
    Column(
        "vram_peak_mb",
        "peak GPU memory that PyTorch's allocator handed out, for engines that use it",
        "MB",
        1,
        "lower",
    ),
    Column("vram_driver_peak_mb", "peak GPU memory as the driver sees it", "MB", 1, "lower"),
    Column("model_size_mb", "bytes that a deployer ships, without caches", "MB", 3, "lower"),
    Column("parameters", "parameters of the model"),
    Column("macs_g", "multiply-accumulates of one image", "G", 3, "lower"),
    Column("zero_fraction", "share of the weights that are zero", "", 4),
    Column("accuracy_top1", "validation images whose first guess is right", "%", 2, "higher"),
    Column("accuracy_top5", "validation images with the right class among five guesses", "%", 2, "higher"),
    Column("accuracy_drop_pp", "top-1 lost against the baseline", "percentage points", 2, "lower"),
    Column(
        "accuracy_drop_ci_high_pp",
        "upper bound of the top-1 lost, with 95 % confidence",
        "percentage points",
        2,
        "lower",
    ),
    Column("top1_agreement", "share of images with the same first guess as the baseline", "", 4, "higher"),
    Column(
        "output_sqnr_db",
        "signal to quantization noise of the logits against the baseline's",
        "dB",
        1,
        "higher",
    ),
    Column("effect", "what the optimization was seen to change"),
    Column("build_s", "time to make the artifact", "s", 2, "lower"),
    Column("load_s", "time to load the artifact in a fresh process", "s", 3, "lower"),
    Column(
        "first_inference_s",
        "time of the first inference after loading",
        "s",
        3,
        "lower",
    ),
    Column("cold_start_s", "load and first inference with no compile cache", "s", 3, "lower"),
    Column("break_even_images", "images after which the build time has paid for itself", "images"),
    Column("roofline_fraction", "share of this machine's measured ceiling", "", 3, "higher"),
    Column("energy_j_per_image", "energy of one image above idle", "J", 4, "lower"),
    Column("image_size", "height and width of the input", "px"),
    Column("weights", "where the weights come from"),
    Column("data", "where the images come from"),
    Column("threads", "CPU threads of the measuring process"),
    Column("seed", "the run's seed"),
    Column("environment_id", "fingerprint of machine and library versions"),
    Column("disturbance", "what else was running"),
    Column("artifact", "the saved model, relative to the output folder"),
    Column("started_at", "when this row's measurement began (UTC)"),
)


def recipes_in_order(rows: Sequence[Row]) -> list[str]:
    """The recipes' names in the order of their first row."""
    return list(dict.fromkeys(row.recipe for row in rows))
