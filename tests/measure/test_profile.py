"""The profiler's trace of a few calls."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from densebench.measure import profile
from densebench.measure.profile import STEPS, write_trace


def test_a_trace_of_three_steps_is_written(tmp_path: Path) -> None:
    """Each call is a step, its operators and shapes are inside; a model that was timed needs no warm-up."""
    calls = []

    def call() -> None:
        calls.append(1)
        torch.mm(torch.ones(8, 4), torch.ones(4, 2))

    path = tmp_path / "profile" / "recipe" / "bs1.pt.trace.json"
    size = write_trace(call, "cpu", path)
    assert len(calls) == STEPS
    assert size == path.stat().st_size > 0
    assert list(path.parent.iterdir()) == [path]
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    steps = [event["name"] for event in events if str(event.get("name")).startswith("ProfilerStep#")]
    assert sorted(set(steps)) == [f"ProfilerStep#{step}" for step in range(STEPS)]
    products = [event for event in events if event.get("name") == "aten::mm"]
    assert len(products) == STEPS
    assert products[0]["args"]["Input Dims"] == [[8, 4], [4, 2]]


def test_of_slow_calls_one_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three calls of four seconds would make a sweep of large batches minutes longer and tell nothing more."""
    clock = iter([100.0, 104.0])
    monkeypatch.setattr(profile, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    path = tmp_path / "bs32.pt.trace.json"
    write_trace(lambda: torch.mm(torch.ones(8, 4), torch.ones(4, 2)), "cpu", path)
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    assert len([event for event in events if event.get("name") == "aten::mm"]) == 1


def test_a_call_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    """No half-written trace stays for a viewer to trip over."""
    calls = []

    def call() -> None:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError

    path = tmp_path / "bs1.pt.trace.json"
    with pytest.raises(RuntimeError):
        write_trace(call, "cpu", path)
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_can_not_be_named_is_removed(tmp_path: Path) -> None:
    """The temporary file goes where the trace can't take its place."""
    path = tmp_path / "bs1.pt.trace.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_trace(lambda: torch.ones(1).add(1), "cpu", path)
    assert list(tmp_path.iterdir()) == [path]
