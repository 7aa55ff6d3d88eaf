"""The log folder of a sweep in a real TensorBoard, over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import RECIPES, SIZES, folder_of
from tests.e2e.program import wait_for

GROUPS = {"throughput", "latency", "memory", "size", "accuracy", "startup"}


@pytest.fixture(scope="module")
def ask(sweep) -> Iterator[Callable[..., Any]]:
    """Asks a TensorBoard that was started on the sweep's logs for one of its JSON pages."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(sweep.logs), "--load_fast=false"]
    process = subprocess.Popen(
        [*command, "--host=127.0.0.1", "--port=0"],
        env=sweep.program.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stderr.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))

        def page(path: str, **query: str) -> Any:
            url = f"{address}data/plugin/{path}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)

        yield page
    finally:
        process.kill()
        process.communicate()


def test_tensorboard_lists_every_recipe_with_its_figures(sweep, ask):
    """Each recipe is a run with figures of every group, among them throughput and accuracy."""
    folders = {folder_of(recipe) for recipe in RECIPES}

    def tags() -> dict[str, dict[str, Any]] | None:
        found = ask("scalars/tags")
        return found if folders <= set(found) else None

    for run, named in wait_for(tags).items():
        if run in folders:
            compared = set() if run == "baseline" else {"fidelity"}
            assert {tag.partition("/")[0] for tag in named} >= GROUPS | compared, run
            assert {"throughput/samples_per_s", "accuracy/top1"} <= set(named)


def test_tensorboard_draws_figures_over_the_batch_size(sweep, ask):
    """A run's points are at the batch sizes and have the values of the CSV."""
    wait_for(lambda: "jit" in ask("scalars/tags"))
    points = ask("scalars/scalars", run="jit", tag="throughput/samples_per_s")
    drawn = {int(step): value for _, step, value in points}
    told = {size: float(sweep.rows["jit", size]["throughput_samples_per_s"]) for size in SIZES}
    assert drawn == pytest.approx(told, rel=1e-4)


def test_tensorboard_has_the_report(ask):
    """Its sentences as text, and its charts as images."""
    texts = wait_for(lambda: ask("text/tags").get("report"))
    assert {tag.partition("/")[0] for tag in texts} == {"analysis"}
    told = ask("text/text", run="report", tag=next(tag for tag in texts if "recommendation" in tag))
    assert re.search("(?i)deploy|keep the baseline|recommend|confirm", told[0]["text"])
    images = wait_for(lambda: ask("images/tags").get("report"))
    assert {tag.partition("/")[0] for tag in images} >= {
        "accuracy",
        "batch",
        "memory",
        "latency",
        "operators",
    }
