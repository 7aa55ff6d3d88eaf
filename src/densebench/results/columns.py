"""The columns: every figure named once, with its unit, for CSV, TensorBoard, MLflow, console, report and docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densebench.results.record import Row


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
        value = row.reasons if self.name == "reason" else getattr(row, self.name)  # an effect is text as it is
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
    Column("latency_p90_ms", "90th percentile of the time of one batch, without interference", "ms", 4, "lower"),
    Column("latency_p95_ms", "95th percentile of the time of one batch, without interference", "ms", 4, "lower"),
    Column("latency_p99_ms", "99th percentile of the time of one batch, without interference", "ms", 4, "lower"),
    Column("throughput_samples_per_s", "images a second, one synchronous stream", "images/s", 3, "higher"),
    Column("throughput_ci_low", "lower end of the throughput's 95 % interval", "images/s", 3),
    Column("throughput_ci_high", "upper end of the throughput's 95 % interval", "images/s", 3),
    Column(
        "speedup",
        "times as fast as the baseline at the same batch size, within rounds or pairs",
        "x",
        4,
        "higher",
    ),
    Column("speedup_ci_low", "lower end of the speed-up's 95 % interval", "x", 4),
    Column("speedup_ci_high", "upper end of the speed-up's 95 % interval", "x", 4),
    Column("verdict", "faster, slower, same or unclear"),
    Column("samples", "timed batches"),
    Column("processes", "fresh processes that the timed batches come from"),
    Column("stable", "whether the row was measured without interference"),
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
    Column(
        "vram_driver_peak_mb",
        "peak GPU memory of the process as the driver sees it, with the CUDA context",
        "MB",
        1,
        "lower",
    ),
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
    Column(
        "deploy_start_s",
        "time from the start of a fresh interpreter to the first answer of the README's code",
        "s",
        3,
        "lower",
    ),
    Column(
        "deploy_memory_mb",
        "peak resident memory of a fresh interpreter that runs the README's code",
        "MB",
        1,
        "lower",
    ),
    Column(
        "deploy_throughput_samples_per_s",
        "images a second of the README's code in a fresh interpreter",
        "images/s",
        3,
        "higher",
    ),
    Column("break_even_images", "images after which the build time has paid for itself", "images"),
    Column("roofline_fraction", "share of this machine's measured ceiling", "", 3, "higher"),
    Column("energy_j_per_image", "energy of one image above idle", "J", 4, "lower"),
    Column("image_size", "height and width of the input", "px"),
    Column("weights", "where the weights come from"),
    Column("data", "where the images come from"),
    Column("threads", "CPU threads of the measuring process"),
    Column("seed", "the run's seed"),
    Column("environment_id", "fingerprint of machine and library versions"),
    Column("interference", "what else was running"),
    Column("artifact", "the saved model, relative to the output folder"),
    Column("started_at", "when this row's measurement began (UTC)"),
)
