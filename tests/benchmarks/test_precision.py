"""The benchmark of precision: it keeps to its minutes, says what that left out, and goes on when it is given more."""

from __future__ import annotations

import importlib
import json
from contextlib import nullcontext
from dataclasses import replace
from io import StringIO
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from densebench.results.record import Row

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIRST = ["jit 0", "onnx 0", "openvino 0", "densenet1 0", "densenet8 0", "disturbed 0"]
ALL = [*FIRST, "jit 1", "onnx 1", "openvino 1"]  # of the short form


@pytest.fixture
def precision(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, whose comparisons find nothing and take a minute each."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("precision")
    minutes = count(0.0, 60.0)
    benches = dict.fromkeys([*module.ENGINES, "densenet"], Bench())
    monkeypatch.setattr(module, "benches", lambda *_: nullcontext(benches))
    clock = SimpleNamespace(monotonic=lambda: next(minutes))
    monkeypatch.setattr(importlib.import_module("notebook"), "time", clock)
    table = importlib.import_module("precision_table")
    monkeypatch.setattr(table, "overhead_us", lambda threads: (0.06, {}))
    return module


class Bench:
    """Stands for a laboratory."""

    def compare(self, *names: str, size: int, seed: int, **changes: object) -> list[Row]:
        """No rows."""
        return []


def test_no_comparison_begins_that_would_not_end_in_its_minutes(
    precision: ModuleType, tmp_path: Path
) -> None:
    """The last line says how many of how many; with more minutes the rest is measured, and nothing twice."""
    file = tmp_path / "fast-2.jsonl"
    for given, made in ((3.0, 3), (3.0, 3), (60.0, len(ALL))):
        said = StringIO()
        console = Console(file=said, width=200)
        notes = precision.Notebook(file, console)
        plan = replace(precision.FAST, minutes=given)
        precision.verdicts(tmp_path, plan, 2, notes)
        precision.show(notes, plan.verdicts, console, 2)
        assert f" {made} min; {made} of {len(ALL)} comparisons " in said.getvalue()
    assert [json.loads(line)[0] for line in file.read_text().splitlines()] == ALL


def run(verdict: str, low: float, high: float) -> dict[str, Any]:
    """What a comparison came to."""
    speedup = (low * high) ** 0.5
    return {"verdict": verdict, "low": low, "high": high, "speedup": speedup, "interference": ""}


def test_the_full_plan_is_what_was_promised(precision: ModuleType) -> None:
    """60 comparisons of an artifact with itself, nine of them of DenseNet-121; 30 with 5 % more work."""
    plan = precision.FULL
    names = [(key.split()[0], plan.names(key.split()[0], int(key.split()[1]))) for key in plan.verdicts]
    same = [kind for kind, compared in names if kind != "disturbed" and "twin" in compared]
    assert len(same) == 60
    assert (same.count("densenet1"), same.count("densenet8")) == (6, 3)
    assert sum("more5" in compared for _, compared in names) == 30
    for kind in ("densenet1", "densenet8"):
        assert any({"onnx", "openvino"} <= {*compared} for one, compared in names if one == kind)
    assert len(plan.verdicts) == len({*plan.verdicts})


@pytest.mark.parametrize(("wrong", "met"), [(3, True), (4, False)])
def test_three_wrong_verdicts_of_sixty_are_the_limit(precision: ModuleType, wrong: int, *, met: bool) -> None:
    """Of all kinds together."""
    notes = precision.Notebook(Path("/dev/null"), Console(file=StringIO()))
    for number in range(60):
        one = run("faster", 1.01, 1.02) if number < wrong else run("same", 0.99, 1.01)
        notes.found[f"{'jit' if number % 2 else 'densenet8'} {number}"] = {"twin": one}
    table = importlib.import_module("precision_table")
    line = next(table.of_twins(notes))
    assert (line.met, line.found.split(";")[0]) == (met, f"{wrong} of 60")


def test_a_disturbed_comparison_is_to_be_marked(precision: ModuleType) -> None:
    """One that isn't is missed, as is a wrong verdict."""
    notes = precision.Notebook(Path("/dev/null"), Console(file=StringIO()))
    notes.found["disturbed 0"] = {"twin": run("same", 0.99, 1.01), "more10": run("faster", 1.1, 1.2)}
    found = {line.what: line.met for line in importlib.import_module("precision_table").of_disturbed(notes)}
    assert found == {
        "disturbed, twin: no wrong verdict": True,
        "disturbed, twin: marked or repeated": False,
        "disturbed, more10: no wrong verdict": False,
        "disturbed, more10: marked or repeated": False,
    }
