"""The acceptance run for GPUs: what of it can be checked without one."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from densebench.engines import torch_compile
from densebench.recipes.parse import plan
from densebench.spec import RunSpec

SCRIPTS = Path(__file__).parents[2] / "scripts"
SUITE = SCRIPTS / "gpu_acceptance.toml"
NAMED = RunSpec.create(SUITE).named
OK = {
    "status": "ok",
    "reason": "",
    "throughput_samples_per_s": "99.5",
    "accuracy_drop_pp": "0.2",
    "output_sqnr_db": "40.0",
    "batch_size": "1",
}


def verdicts(folder: Path, *rows: dict[str, str], flags: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Exit code and lines for a results folder with these rows."""
    lines = [{"effect": "", "steps": NAMED.get(row["recipe"], row["recipe"]), **OK, **row} for row in rows]
    with (folder / "benchmark_results.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for line in lines for key in line}))
        writer.writeheader()
        writer.writerows(lines)
    done = subprocess.run(
        [sys.executable, SCRIPTS / "gpu_verdicts.py", *flags, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_rows_that_did_what_they_claim_pass(tmp_path: Path) -> None:
    """A skip with a reason is no failure, unless TensorRT or ONNX Runtime is what was skipped."""
    code, lines = verdicts(
        tmp_path,
        {"recipe": "baseline", "effect": "none: plain FP32 NCHW eager execution"},
        {"recipe": "tensorrt", "effect": "float16 convolutions 120/120; 430 graph nodes in 130 layers"},
        {"recipe": "tensorrt_int8", "effect": "int8 convolutions 119/120", "accuracy_drop_pp": "0.7"},
        {"recipe": "pruning", "effect": "30 % zero", "accuracy_drop_pp": "1.7", "output_sqnr_db": "12.1"},
        {"recipe": "openvino", "status": "skipped", "reason": "runs on the CPU"},
    )
    assert code == 0
    assert [line.partition(":")[0] for line in lines] == [
        "PASS  baseline, batch 1",
        "PASS  tensorrt, batch 1",
        "PASS  tensorrt_int8, batch 1",
        "PASS  pruning, batch 1",
        "SKIP  openvino, batch 1",
        "4 PASS, 0 FAIL, 1 SKIP",
    ]
    assert lines[3].endswith("top-1 lost 1.7 points")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"recipe": "jit", "status": "failed", "reason": "it broke"}, "failed: it broke"),
        ({"recipe": "jit", "status": "timed_out", "reason": "120 s"}, "timed_out: 120 s"),
        (
            {"recipe": "tensorrt", "status": "skipped", "reason": "pip install"},
            "must run here, but: pip install",
        ),
        (
            {"recipe": "onnx:provider=tensorrt", "status": "skipped", "reason": "pip install"},
            "must run here, but: pip install",
        ),
        (
            {"recipe": "tensorrt_int8", "effect": "none: no int8 convolution was seen"},
            "no effect: none: no int8",
        ),
        ({"recipe": "tensorrt", "effect": "float32 convolutions 120/120"}, "expected 'float16 convolutions'"),
        (
            {
                "recipe": "onnx",
                "effect": "80/90 nodes in CUDAExecutionProvider, 10 fell back to CPUExecutionProvider",
            },
            "expected",
        ),
        (
            {
                "recipe": "compile:mode=reduce-overhead",
                "effect": "1 compiled graph, 0 graph breaks; not frozen; reduce-overhead is CUDA graphs, which "
                "a CPU has none of",
            },
            "expected",
        ),
        ({"recipe": "compile:freezing=true", "effect": "1 compiled graph, 0 graph breaks"}, "expected"),
        ({"recipe": "a new one"}, "no effect: none is given"),
        ({"recipe": "jit", "effect": "frozen graph", "throughput_samples_per_s": ""}, "no throughput"),
    ],
)
def test_what_did_not_happen_fails(tmp_path: Path, row: dict[str, str], said: str) -> None:
    """With the reason in its line, and exit code 1."""
    code, lines = verdicts(tmp_path, row)
    assert code == 1
    assert lines[0].startswith(f"FAIL  {row['recipe']}, batch 1: {said}")


COMPILED = "1 part of the graph compiled by TensorRT, {} convolutions outside"


@pytest.mark.parametrize(
    ("recipe", "outside", "claim", "word"),
    [
        ("onnx:provider=tensorrt", 0, "{}", "PASS"),
        ("onnx:provider=tensorrt", 3, "{}", "FAIL"),
        ("onnx:precision=int8:provider=tensorrt", 0, "{}; int8 was asked for", "PASS"),
        ("onnx:precision=int8:provider=tensorrt", 3, "{}; int8 was asked for", "FAIL"),
        ("onnx:precision=int8:provider=tensorrt", 0, "none: all 3 nodes fell back", "FAIL"),
        ("tensorrt_int8", 0, "none: int8 was not seen", "FAIL"),
    ],
)
def test_what_tensorrt_does_inside_onnx_runtime(
    tmp_path: Path, recipe: str, outside: int, claim: str, word: str
) -> None:
    """No convolution is left outside it; that INT8 isn't seen there is expected, and nowhere else."""
    _, lines = verdicts(tmp_path, {"recipe": recipe, "effect": claim.format(COMPILED.format(outside))})
    assert lines[0].startswith(word)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"recipe": "jit", "accuracy_drop_pp": "88.0"}, "top-1 lost 88.0 points, at most 1 are expected"),
        ({"recipe": "jit", "accuracy_drop_pp": "1.1"}, "top-1 lost 1.1"),
        ({"recipe": "jit", "accuracy_drop_pp": "1.0"}, None),
        ({"recipe": "jit", "accuracy_drop_pp": "", "output_sqnr_db": ""}, None),
        ({"recipe": "pruning", "accuracy_drop_pp": "3.1"}, "top-1 lost 3.1 points, at most 3 are expected"),
        ({"recipe": "pruning", "output_sqnr_db": "5.9"}, "SQNR of 5.9 dB, at least 6 are expected"),
        ({"recipe": "jit", "output_sqnr_db": "29.9"}, "SQNR of 29.9 dB, at least 30 are expected"),
        ({"recipe": "amp", "output_sqnr_db": "19.9"}, "SQNR of 19.9 dB, at least 20"),
        ({"recipe": "bf16", "output_sqnr_db": "19.9"}, "SQNR of 19.9 dB, at least 20"),
        ({"recipe": "tensorrt", "output_sqnr_db": "20.0"}, None),
        ({"recipe": "tensorrt_int8", "output_sqnr_db": "9.9"}, "SQNR of 9.9 dB, at least 10"),
        ({"recipe": "tensorrt_int8", "output_sqnr_db": "10.0"}, None),
        ({"recipe": "tensorrt_int8", "effect": "int8 convolutions 60/120"}, None),
        ({"recipe": "tensorrt_int8", "effect": "int8 convolutions 59/120"}, "only 59 of 120 convolutions"),
    ],
)
def test_a_row_that_ran_may_still_be_wrong(tmp_path: Path, row: dict[str, str], said: str | None) -> None:
    """By the images that it gets wrong, its logits, or how little of it is in the precision; blanks are none."""
    effect = "frozen graph, float16 convolutions, bfloat16 convolutions, int8 convolutions 120/120"
    code, lines = verdicts(tmp_path, {"effect": effect, **row})
    assert code == (said is not None)
    assert lines[0].startswith(f"FAIL  {row['recipe']}, batch 1: {said}" if said else "PASS")


def test_what_is_not_installed_is_no_failure_as_it_is(tmp_path: Path) -> None:
    """With --as-is, on a machine that nothing can be brought to."""
    row = {"recipe": "tensorrt", "status": "skipped", "reason": "pip install"}
    code, lines = verdicts(
        tmp_path, row, {"recipe": "amp", "effect": "float16 convolutions"}, flags=("--as-is",)
    )
    assert (code, lines[0]) == (0, "SKIP  tensorrt, batch 1: pip install")


def test_an_empty_sweep_is_no_success(tmp_path: Path) -> None:
    """Nothing failed because nothing ran."""
    (tmp_path / "benchmark_results.csv").write_text("recipe,status\n")
    done = subprocess.run(
        [sys.executable, SCRIPTS / "gpu_verdicts.py", tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "0 PASS, 0 FAIL, 0 SKIP\n")


@pytest.mark.parametrize("engine", ["tensorrt", "eager", "compile"])
@pytest.mark.parametrize(("factor", "word"), [(1.0, "PASS"), (1.5, "FAIL")])
def test_an_artifacts_readme_is_run(tmp_path: Path, factor: float, word: str, engine: str) -> None:
    """Its code must give the outputs that the manifest holds; what compiles for minutes is left out."""
    folder = tmp_path / "models" / "made"
    folder.mkdir(parents=True)
    probe = {"seed": 3, "batch_size": 2, "tolerance": 0.01, "outputs": [[3.0, 3.0], [3.0, 3.0]]}
    manifest = {"engine": engine, "probe": probe, "input": {"shape": [None, 3, 4, 4]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code = f"import numpy\nlogits = {factor} * numpy.full((len(images), 2), images.shape[1])"
    (folder / "README.md").write_text(f"# Title\n\n```python\n{code}\n```\n")
    _, lines = verdicts(tmp_path, {"recipe": "baseline"})
    assert len(lines) == (2 if engine == "compile" else 3)
    assert engine == "compile" or lines[1].startswith(f"{word}  made, deployed: ")


def test_the_readmes_suite_has_what_the_default_one_has() -> None:
    """No engine is missing from the figures, though some rows are skipped where they are taken."""
    suite = RunSpec.create(SCRIPTS.parent / "benchmarks" / "readme.toml")
    plan(suite.recipes, suite.named)
    assert set(RunSpec.create().recipes) <= set(suite.recipes)


def test_every_recipe_of_it_can_be_resolved() -> None:
    """And none of the default suite is left out."""
    spec = RunSpec.create(SUITE)
    assert spec.device == "cuda"
    asked = {recipe.name for recipe in plan(spec.recipes, spec.named)}
    modes = get_args(torch_compile.CompileOptions.model_fields["mode"].annotation)
    assert {f"compile:mode={mode}".removesuffix(":mode=default") for mode in modes} <= asked
    assert "compile:freezing=true" in asked
    assert set(RunSpec.create().recipes) - {"structured_pruning+openvino:precision=int8"} <= set(spec.recipes)
    assert "tensorrt:precision=fp32" in tomllib.loads(SUITE.read_text(encoding="utf-8"))["recipes"]
    assert "onnx:precision=int8:provider=tensorrt" in asked


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is an NVIDIA GPU here")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    """In one line, with exit code 2, and nothing is installed or written."""
    done = subprocess.run(
        [SCRIPTS / "gpu_acceptance.sh", tmp_path / "out"],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "gpu_acceptance: no NVIDIA GPU here (nvidia-smi lists none); nothing was checked\n"
    )
    assert list(tmp_path.iterdir()) == []
