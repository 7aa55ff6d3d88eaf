"""What tests in several folders share: a core for each worker, the program, and one real sweep of DenseNet-121."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from playwright.sync_api import Browser
from xdist.scheduler import LoadScopeScheduling

from tests.browser import chromium
from tests.e2e.program import Finished, Program, write_suite

# Threads that wait for each other are up to fifty times slower while other programs use the cores.
os.environ["OMP_NUM_THREADS"] = "1"
# A run of the tests draws the same cases everywhere and each time. `scripts/fuzz.sh` looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("repeatable")  # --hypothesis-profile=fuzz takes its place
TESTS = Path(__file__).parent
RECIPES = (
    "baseline",
    "amp",
    "channels_last",
    "jit",
    "quantize",
    "bf16",
    "dynamic_quantization",
    "pruning",
    "onnx",
    "onnx_int8",
    "openvino",
    "openvino_bf16",
    "openvino_int8",
    "structured_pruning:epochs=1+openvino:precision=int8",
    "channels_last+bf16+compile",
    "allocator+channels_last",
)
SIZES = (2, 16)
SWEEP_MODULES = {
    "tests/e2e/test_deploy_notes.py",
    "tests/e2e/test_pages.py",
    "tests/e2e/test_reload.py",
    "tests/e2e/test_sweep.py",
    "tests/e2e/test_tensorboard.py",
    "tests/examples/test_cpp.py",
}


# Whose tests start the program, children or a browser, build with an engine, or train.
SLOW = (
    *(
        "benchmarks",
        "e2e",
        "engines",
        "examples",
        "loadtest",
        "processes",
        "reliability",
        "roofline",
        "scripts",
    ),
    *("techniques", "viewer", "worker"),
    *(
        "measure/test_deploy.py",
        "measure/test_instances.py",
        "report/html/test_browser.py",
        "workloads/test_digits.py",
    ),
)


def folder_of(recipe: str) -> str:
    """The contract's name for a recipe's folder."""
    return re.sub(r"[^a-z0-9._-]", "_", recipe)


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: how it was run, and where its results are."""

    program: Program
    finished: Finished
    results: Path
    logs: Path

    @cached_property
    def rows(self) -> dict[tuple[str, int], dict[str, str]]:
        """The lines of the CSV by recipe and batch size."""
        with (self.results / "benchmark_results.csv").open(encoding="utf-8", newline="") as file:
            return {(row["recipe"], int(row["batch_size"])): row for row in csv.DictReader(file)}

    def of(self, recipe: str) -> dict[str, str]:
        """The recipe's first line."""
        return self.rows[recipe, SIZES[0]]

    def artifact(self, recipe: str) -> Path:
        """The folder of the recipe's artifact, as its line names it."""
        return self.results / self.of(recipe)["artifact"]

    def manifest(self, recipe: str) -> dict[str, Any]:
        """The manifest of the recipe's artifact."""
        content: dict[str, Any] = json.loads((self.artifact(recipe) / "manifest.json").read_bytes())
        return content


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """PyTorch draws the same numbers in each test, whichever tests ran before it."""
    if torch := sys.modules.get("torch"):  # not loaded for this alone
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home folder for the programs that tests start."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def program(home: Path, tmp_path: Path) -> Program:
    """densebench, to be run in an empty folder."""
    return Program(home, tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def sweep(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Every kind of recipe at two batch sizes on the digits; most of its time goes into one compilation."""
    folder = tmp_path_factory.mktemp("sweep")
    program = Program(home, folder)
    suite = write_suite(
        folder / "suite.toml",
        recipes=RECIPES[1:],  # the baseline comes by itself
        batch_sizes=SIZES,
        weights="digits",
        data="digits",
        image_size=32,
        sample_time=0.2,
    )
    finished = program.run("run", "--suite", suite, "--output-dir=out", "--log-dir=log", limit_s=1100)
    return Sweep(program, finished, folder / "out", folder / "log")


def pytest_configure() -> None:
    """Each parallel worker, with all that it starts, stays on a core of its own; Ctrl-C reaches what tests start.

    A shell that starts the tests in the background has them ignore it, and what they start would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if worker := os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})


class ByModule(LoadScopeScheduling):
    """A worker takes a whole module; the modules that look at the one sweep go to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "sweep" if module in SWEEP_MODULES else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    """Xdist's own groups are lost with this pytest: it no longer lets a plug-in write a test's name."""
    return ByModule(config, log)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Slow tests are told apart; whichever is the first to need the sweep waits for it."""
    for item in items:
        if any(item.path.is_relative_to(TESTS / slow) for slow in SLOW):
            item.add_marker(pytest.mark.slow)
        if "sweep" in getattr(item, "fixturenames", ()):
            assert item.nodeid.partition("::")[0] in SWEEP_MODULES, f"add {item.path.name} to SWEEP_MODULES"
            item.add_marker(pytest.mark.timeout(1200))
