"""The README's code of real artifacts, run by a sweep: start-up, memory and speed in the user's own program."""

from __future__ import annotations

import csv

from tests.e2e.program import SMALL, journal_rows, write_suite


def test_a_sweep_measures_each_artifact_in_a_program_of_its_own(program):
    """Every row of a recipe has the figures; a process without PyTorch is smaller; a resume measures none again."""
    keys = {"recipes": ["onnx"], "deploy_time": 0.1}
    suite = write_suite(program.folder / "suite.toml", batch_sizes=[4, 2], **keys)
    command = ("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log")
    done = program.run(*command)
    assert done.code == 0, done.err
    with (program.folder / "out/benchmark_results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = {
        row["recipe"]: [
            float(row[f"deploy_{name}"]) for name in ("start_s", "memory_mb", "throughput_samples_per_s")
        ]
        for row in rows
    }
    assert all(figure > 0 for figures in told.values() for figure in figures)
    assert "no deploy" not in "".join(row["reason"] for row in rows)
    assert told["onnx"][1] < min(float(row["host_memory_floor_mb"]) for row in rows) < told["baseline"][1]
    report = (program.folder / "out/REPORT.md").read_text(encoding="utf-8")
    assert "Peak memory of a program of your own at batch 2: least with onnx" in report
    before = journal_rows(program.folder / "out")
    assert {row["deploy_batch_size"] for row in before} == {2}
    assert program.run(*command, "--rounds=2", "--resume").code == 0
    after = journal_rows(program.folder / "out")
    assert len(after[0]["timed_processes"]) > len(before[0]["timed_processes"])
    assert {row["deploy_start_s"] for row in after} == {row["deploy_start_s"] for row in before}
