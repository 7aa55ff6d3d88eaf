"""A user's own ONNX file through a whole sweep, and files that can't go through one."""

from __future__ import annotations

import json

import pytest

from tests.e2e.program import Program, journal_rows, write_suite
from tests.e2e.test_bad_input import CPU, in_process, refused
from tests.onnx_models import SIZE, classifier, cut

__all__ = ["in_process"]  # a fixture

RUNS = ("onnx", "onnx_int8", "openvino")
NEEDS_PYTORCH = ("channels_last", "jit")


@pytest.mark.timeout(300)
def test_a_sweep_of_a_file(program: Program) -> None:
    """What can run it is compared with ONNX Runtime in FP32; what needs a PyTorch model is skipped, saying so."""
    classifier(program.folder / "mine.onnx")
    suite = write_suite(
        program.folder / "suite.toml",
        model="mine.onnx",
        data="digits",
        recipes=[*RUNS, *NEEDS_PYTORCH],
        batch_sizes=[1, 2],
        rounds=1,
        focus_batch_sizes=[1],
        focus_rounds=1,
    )
    done = program.run("run", "--suite", suite, "--output-dir=out", "--log-dir=log", limit_s=280)
    assert done.code == 0, done.err
    rows = {(row["recipe"], row["batch_size"]): row for row in journal_rows(program.folder / "out")}
    for size in (1, 2):
        for recipe in ("baseline", *RUNS):
            row = rows[recipe, size]
            assert row["status"] == "ok", row["reason"]
            assert (row["model"], row["weights"], row["image_size"]) == ("mine.onnx", "mine.onnx", SIZE)
            assert row["accuracy_top1"] is not None
            assert recipe == "baseline" or row["top1_agreement"] > 0.5
            paired = [bool(one["samples"]["pairs"]) for one in row["timed_processes"]]
            assert paired == [size == 1] * len(row["timed_processes"])
        for recipe in NEEDS_PYTORCH:
            row = rows[recipe, size]
            assert row["status"] == "skipped"
            assert "mine.onnx runs in onnx, openvino, tensorrt" in row["reason"]
    assert rows["baseline", 1]["steps"] == "onnx"
    assert rows["onnx_int8", 1]["effect"].startswith("int8 convolutions 1/1")
    manifest = json.loads((program.folder / "out/models/baseline/manifest.json").read_bytes())
    assert (manifest["engine"], manifest["model"]) == ("onnx", "mine.onnx")
    assert manifest["source_weights_sha256"]
    assert "the baseline is the file in ONNX Runtime" in (program.folder / "out/REPORT.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model=nowhere.onnx"], ["nowhere.onnx", "doesn't exist"]),
        (["--model=cut.onnx"], ["cut.onnx", "not a whole ONNX file"]),
        (["--model=two.onnx"], ["two.onnx", "2 inputs (pixels, mask)"]),
        (["--model=wide.onnx"], ["wide.onnx", "not images"]),
        (["--model=far.onnx"], ["far.onnx", "weights in far.data", "isn't there"]),
        (["--model=four.onnx"], ["four.onnx takes batches of 4 only", "--batch-sizes 4"]),
        (["--model=mine.onnx", "--weights=random"], ["mine.onnx", "leave out --weights random"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_a_bad_file_is_refused(in_process, tmp_path, arguments, said) -> None:
    """What can't be the model ends the run with exit code 2 and one line, and nothing is written."""
    classifier(tmp_path / "mine.onnx")
    cut(classifier(tmp_path / "cut.onnx"))
    classifier(tmp_path / "two.onnx", more_inputs=["mask"])
    classifier(tmp_path / "wide.onnx", ("n", 5, SIZE, SIZE))
    classifier(tmp_path / "far.onnx", beside="far.data")
    (tmp_path / "far.data").unlink()
    classifier(tmp_path / "four.onnx", (4, 3, SIZE, SIZE))
    refused(in_process("run", *CPU, "--data=none", "--recipes=onnx", *arguments), tmp_path, said)
