"""A stack of techniques under a compiling engine, from the command line to a reloaded model."""

from __future__ import annotations

import json

import pytest

from tests.e2e.program import SMALL, journal_rows, write_suite

STACK = "channels_last+bf16+compile"


@pytest.mark.timeout(400)
def test_a_stack_does_all_that_its_parts_do(program):
    """The compiled model is one graph in BF16 and NHWC, is small on disk, and has a signature."""
    suite = write_suite(program.folder / "suite.toml", recipes=[STACK], batch_sizes=[2])
    arguments = ("run", *SMALL, "--suite", suite, "--output-dir=out", "--log-dir=log")
    done = program.run(*arguments, limit_s=380)
    assert done.code == 0, done.err
    baseline, row = journal_rows(program.folder / "out")
    assert (row["recipe"], row["steps"], row["status"]) == (STACK, STACK, "ok")
    assert row["effect"].startswith("1 compiled graph, 0 graph breaks; bfloat16 convolutions 26/26; NHWC")
    assert row["model_size_mb"] == pytest.approx(baseline["model_size_mb"] / 2, rel=0.05)
    folder = program.folder / "out/models/channels_last_bf16_compile"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["contains_code"]
    assert manifest["signature"]
    assert [name for name, file in manifest["files"].items() if file["cache"]]
