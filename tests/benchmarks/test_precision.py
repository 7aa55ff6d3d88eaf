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

import pytest
from rich.console import Console

from densebench.record import Row

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ALL = ["jit 0", "onnx 0", "openvino 0", "disturbed 0", "jit 1", "onnx 1", "openvino 1"]  # of the short form


@pytest.fixture
def precision(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, whose comparisons find nothing and take a minute each."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("precision")
    minutes = count(0.0, 60.0)
    monkeypatch.setattr(module, "benches", lambda *_: nullcontext(dict.fromkeys(module.ENGINES, Bench())))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(minutes)))
    monkeypatch.setattr(module, "overhead_us", lambda threads: (0.06, {}))
    return module


class Bench:
    """Stands for a laboratory."""

    def compare(self, *names: str, seed: int) -> list[Row]:
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
        precision.show(notes, plan, console, 2)
        assert f" {made} min; {made} of {len(ALL)} comparisons " in said.getvalue()
    assert [json.loads(line)[0] for line in file.read_text().splitlines()] == ALL
