"""What a whole sweep leaves behind, seen as its users see it."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest

import densebench
from densebench.machine.facts import emulated
from densebench.results.columns import COLUMNS
from tests.conftest import RECIPES, SIZES, folder_of
from tests.small import ONEDNN_BF16

CONTRACT = (
    "model, recipe, steps, batch_size, device, status, reason, latency_mean_ms, latency_p50_ms, "
    "latency_p90_ms, latency_p95_ms, latency_p99_ms, throughput_samples_per_s, throughput_ci_low, "
    "throughput_ci_high, speedup, speedup_ci_low, speedup_ci_high, verdict, samples, processes, stable, "
    "host_memory_floor_mb, host_memory_peak_mb, vram_peak_mb, vram_driver_peak_mb, model_size_mb, parameters, "
    "macs_g, zero_fraction, accuracy_top1, accuracy_top5, accuracy_drop_pp, accuracy_drop_ci_high_pp, "
    "top1_agreement, output_sqnr_db, effect, build_s, load_s, first_inference_s, cold_start_s, "
    "deploy_start_s, deploy_memory_mb, deploy_throughput_samples_per_s, "
    "break_even_images, roofline_fraction, energy_j_per_image, image_size, weights, data, threads, seed, "
    "environment_id, interference, artifact, started_at"
)


def end(dtype: str) -> str:
    """How the effect of a recipe in this precision ends."""
    slow = emulated(dtype, "cpu")
    return f"; {slow}$" if slow else "$"


EFFECTS = {
    "baseline": r"^none: ",
    "amp": r"^bfloat16 convolutions 120/120" + end("bfloat16"),
    "channels_last": r"^NHWC convolutions (\d+)/\1$",
    "jit": (
        r"^frozen graph: 120 oneDNN and 0 plain convolutions, \d+ batch norms left unfolded"
        r"(; NHWC convolutions \d+/\d+)?$"
    ),
    "quantize": r"^float16 convolutions 120/120" + end("float16"),
    "bf16": r"^bfloat16 convolutions 120/120" + end("bfloat16"),
    "dynamic_quantization": r"^int8 linear layers 1/1, ",
    "pruning": r"^(29\.[5-9]|30\.[0-5]) % of the weights are zero",
    "onnx": r"^optimized graph: \d+ convolutions, ",
    "onnx_int8": r"^int8 convolutions 120/120, ",
    "openvino": r"^graph fused: ",
    "openvino_bf16": (
        r"^bfloat16 convolutions 120/120"
        if emulated("bfloat16", "cpu") is None
        else r"^(bfloat16 convolutions 120/120|none: .*seen: float32).*the processor has no BF16(, .*emulated)?$"
    ),
    "openvino_int8": r"^int8 convolutions (119|120)/120",
    "structured_pruning:epochs=1+openvino:precision=int8": r"^int8 convolutions (119|120)/120",
    "allocator+channels_last": r"^NHWC convolutions (\d+)/\1; glibc keeps freed memory: 0 blocks",
    "channels_last+bf16+compile": (
        r"^1 compiled graph, 0 graph breaks; frozen, (weights of \d+ layers|no layer's weights were) packed; "
        r"bfloat16 convolutions 120/120"
        + (r"; NHWC convolutions (\d+)/\2" if ONEDNN_BF16 else "")
        + end("bfloat16")
    ),
}


def test_the_sweep_ends_well(sweep):
    """Exit code 0, no traceback, and every row of every recipe is there and ok."""
    assert sweep.finished.code == 0, sweep.finished.err
    assert "Traceback" not in sweep.finished.err + sweep.finished.out
    assert list(sweep.rows) == [(recipe, size) for recipe in RECIPES for size in SIZES]
    assert {row["status"] for row in sweep.rows.values()} == {"ok"}


def test_the_csv_has_the_columns_of_the_contract(sweep):
    """The columns have the contract's names, in its order."""
    first = (sweep.results / "benchmark_results.csv").read_text(encoding="utf-8").splitlines()[0]
    assert first.split(",") == CONTRACT.split(", ")


def test_every_row_is_timed(sweep):
    """Each row has latencies that agree with its throughput, and its memory peak is above its floor."""
    for (recipe, size), row in sweep.rows.items():
        mean, throughput = float(row["latency_mean_ms"]), float(row["throughput_samples_per_s"])
        assert mean > 0
        assert throughput == pytest.approx(1000 * size / mean, rel=0.2)  # of processes, which differ
        assert int(row["samples"]) >= 2
        assert int(row["processes"]) == (2 if recipe == "baseline" else 1)
        assert float(row["speedup"]) > 0
        assert 0 < float(row["host_memory_floor_mb"]) < float(row["host_memory_peak_mb"])
        assert float(row["load_s"]) > 0
        assert float(row["first_inference_s"]) > 0


def test_percentiles_are_blank_where_the_sample_is_too_small(sweep):
    """A percentile stands where the row has the samples for it, and only there."""
    needed = {"latency_p50_ms": 5, "latency_p90_ms": 29, "latency_p95_ms": 59, "latency_p99_ms": 299}
    for row in sweep.rows.values():
        for column, least in needed.items():
            assert (row[column] != "") == (int(row["samples"]) >= least), (column, row["samples"])
    assert any(row["latency_p99_ms"] == "" for row in sweep.rows.values())


def test_the_baseline_is_the_measure_of_speed_and_accuracy(sweep):
    """The baseline's speed-up is exactly one and its accuracy drop exactly nothing; others have theirs."""
    for size in SIZES:
        assert float(sweep.rows["baseline", size]["speedup"]) == 1
        assert float(sweep.rows["baseline", size]["accuracy_drop_pp"]) == 0
        base = float(sweep.rows["baseline", size]["throughput_samples_per_s"])
        for recipe in RECIPES:
            row = sweep.rows[recipe, size]
            ratio = float(row["throughput_samples_per_s"]) / base
            assert float(row["speedup"]) == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_accuracy_is_measured_on_the_digits(sweep, recipe):
    """Each recipe has its accuracy, high unless it was pruned, and its agreement with the baseline."""
    row = sweep.of(recipe)
    top1, top5 = float(row["accuracy_top1"]), float(row["accuracy_top5"])
    assert (50 if "pruning" in recipe else 95) <= top1 <= top5 <= 100
    assert row["accuracy_top1"] == sweep.rows[recipe, SIZES[1]]["accuracy_top1"]
    if recipe != "baseline":
        assert 0.5 < float(row["top1_agreement"]) <= 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_effect_says_what_changed(sweep, recipe):
    """Each row says in figures what the optimization was seen to change, the baseline that it changed nothing."""
    assert re.search(EFFECTS[recipe], sweep.of(recipe)["effect"]), sweep.of(recipe)["effect"]


def test_files_are_as_small_as_the_optimization_makes_them(sweep):
    """Pruned weights take less room than the baseline's, 16-bit ones about half, a new layout just as much."""
    size = {recipe: float(sweep.of(recipe)["model_size_mb"]) for recipe in RECIPES}
    assert size["quantize"] == pytest.approx(size["baseline"] / 2, rel=0.05)
    assert size["bf16"] == pytest.approx(size["baseline"] / 2, rel=0.05)
    assert size["pruning"] < 0.8 * size["baseline"]
    assert size["dynamic_quantization"] < size["baseline"]
    assert size["channels_last"] == pytest.approx(size["baseline"], rel=0.01)
    assert size["channels_last+bf16+compile"] == pytest.approx(
        size["baseline"] / 2, rel=0.05
    )  # without its cache


def test_sizes_are_those_of_the_files(sweep):
    """`model_size_mb` is the sum of the artifact's files on disk, the caches left out."""
    for recipe in RECIPES:
        files = sweep.manifest(recipe)["files"]
        on_disk = sum(
            (sweep.artifact(recipe) / name).stat().st_size for name, f in files.items() if not f["cache"]
        )
        assert float(sweep.of(recipe)["model_size_mb"]) == pytest.approx(on_disk / 1e6, abs=1e-3)


def test_pruning_sets_three_weights_in_ten_to_zero(sweep):
    """The share of zeros is the amount asked for, and no other recipe has any to speak of."""
    zeros = {recipe: float(sweep.of(recipe)["zero_fraction"]) for recipe in RECIPES}
    assert zeros.pop("pruning") == pytest.approx(0.3, abs=0.005)
    assert max(zeros.values()) < 0.01


def test_the_journal_has_the_raw_samples(sweep):
    """Each measurement carries the single latencies that the CSV's mean and count come from."""
    lines = [json.loads(line) for line in (sweep.results / "journal.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["run"] + ["observation"] * (len(lines) - 1)
    assert lines[0]["identity"]["weights_sha256"]
    kinds = [line["kind"] for line in lines[1:]]
    assert {"build", "evaluate", "measure"} == {*kinds}
    for (recipe, size), row in sweep.rows.items():
        own = [
            line["samples"]["samples_ms"]
            for line in lines[1:]
            if (line["kind"], line["recipe"], line.get("batch_size")) == ("measure", recipe, size)
            and line.get("stage", "sweep") == "sweep"
        ]
        samples = [value for process in own for value in process]
        assert len(samples) == int(row["samples"])
        assert sum(samples) / len(samples) == pytest.approx(float(row["latency_mean_ms"]), abs=1e-3)
    found = [line["found"] for line in lines[1:] if line["kind"] == "evaluate"]
    assert all(len(one["correct_top1"]) > 100 for one in found)


def test_each_recipe_has_a_trace_at_the_smallest_and_the_largest_batch(sweep):
    """The traces are Chrome traces of the steps, and show operators."""
    for recipe in RECIPES:
        for size in SIZES:
            path = sweep.logs / "profile" / folder_of(recipe) / f"bs{size}.pt.trace.json"
            names = {event.get("name") for event in json.loads(path.read_bytes())["traceEvents"]}
            assert "ProfilerStep#0" in names
            assert len(names) > 5
    lines = [json.loads(line) for line in (sweep.results / "journal.jsonl").read_text().splitlines()]
    traces = [line["trace"] for line in lines[1:] if line.get("trace")]
    assert len(traces) == len(RECIPES) * len(SIZES)
    assert all((sweep.logs / trace).is_file() for trace in traces)


def test_the_report_names_every_recipe(sweep):
    """The report and the table on the screen show every recipe."""
    report = (sweep.results / "REPORT.md").read_text(encoding="utf-8")
    for recipe in RECIPES:
        assert recipe in report
    table = sweep.finished.out[sweep.finished.out.index("images/s and speed-up over the baseline") :]
    for recipe in RECIPES:
        assert recipe.rpartition("+")[2] in table
    headline = re.search(r"^\*\*(\w+ \w+)", report, re.MULTILINE)
    assert headline
    assert re.search(f"^{headline[1]}", table, re.MULTILINE)
    assert f"open {sweep.results.name}/report.html" in table
    assert table.rstrip().endswith(f"densebench view --log-dir {sweep.logs.name}"), "what shows the logs"


def test_the_report_can_be_written_again_from_the_records(sweep, tmp_path):
    """`densebench report` on a journal alone gives the same CSV and report."""
    shutil.copy(sweep.results / "journal.jsonl", tmp_path)
    again = sweep.program.run("report", tmp_path)
    assert again.code == 0, again.err
    for name in ("benchmark_results.csv", "REPORT.md"):
        assert (tmp_path / name).read_bytes() == (sweep.results / name).read_bytes()


def test_records_are_read_from_python(sweep):
    """`densebench.read_records` gives the rows with the figures of the CSV."""
    rows = densebench.read_records(sweep.results)
    with (sweep.results / "benchmark_results.csv").open(encoding="utf-8", newline="") as file:
        assert [[column.text(row) for column in COLUMNS] for row in rows] == list(csv.reader(file))[1:]


def test_nothing_else_is_left_in_the_output_folder(sweep):
    """Temporary files and unfinished artifacts are gone."""
    left = [
        path.name for path in sweep.results.rglob("*") if path.name.startswith(".") or ".part" in path.name
    ]
    assert left == []
    assert {path.name for path in (sweep.results / "models").iterdir()} == {
        folder_of(recipe) for recipe in RECIPES
    }
