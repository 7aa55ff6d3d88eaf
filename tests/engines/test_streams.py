"""Engines that answer several batches at once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from densebench import engines
from densebench.engines._onnx_deploy import usage
from densebench.engines._streams import answered, described, of_details
from densebench.engines.base import Streaming, Target
from densebench.errors import UsageError
from densebench.measure.streams import streams_of
from densebench.model.adapter import served
from densebench.model.fidelity import relative_difference
from densebench.recipes.parse import resolve
from densebench.workloads.base import Workload
from tests.small import images

pytest_plugins = ["tests.fixtures"]
ABLE = ("onnx", "openvino")


def opened(name: str, tiny: Workload, folder: Path, streams: int | str) -> tuple[Any, Any]:
    """A session with so many streams, and the model."""
    engine, model = engines.catalogue()[name], served(tiny.build_model())
    given = engine.options.model_validate({"streams": streams}).model_dump()
    built = engine.build(model, tiny, folder, Target("cpu", (2,), 1), **given)
    return engine.load(folder, json.loads(json.dumps(built.details)), "cpu"), model


@pytest.mark.parametrize("name", ABLE)
def test_several_batches_are_answered_at_once(name: str, tiny: Workload, tmp_path: Path) -> None:
    """As many answers as were asked for, each with its time; the session says how many streams it has."""
    session, model = opened(name, tiny, tmp_path, 2)
    assert isinstance(session, Streaming)
    assert session.streams == 2
    began = time.perf_counter()
    answers = session.answer(images(2), 9)
    assert len(answers) == 9
    assert all(began < answer <= time.perf_counter() for answer in answers)
    with torch.inference_mode():
        assert relative_difference(session(images(2)), model(images(2))) < 1e-4
    assert "2 streams of 1 thread" in session.effect(images(2)).seen
    session.close()


@pytest.mark.parametrize("name", ABLE)
def test_without_the_option_there_is_one_stream(name: str, tiny: Workload, tmp_path: Path) -> None:
    """And nothing is said of streams, nor is there anything of them in the manifest."""
    session, _ = opened(name, tiny, tmp_path, 1)
    assert streams_of(session) == 1
    assert "stream" not in str(session.effect(images(2)))
    assert "streams" not in session.details
    session.close()


@pytest.mark.parametrize("name", ABLE)
def test_auto_is_a_number_in_the_end(name: str, tiny: Workload, tmp_path: Path) -> None:
    """The engine's own, of as many threads as there are."""
    session, _ = opened(name, tiny, tmp_path, "auto")
    assert 1 <= session.streams <= max(1, torch.get_num_threads())
    assert len(session.answer(images(2), 3)) == 3
    session.close()


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", ""])
def test_what_is_no_number_of_streams_is_refused(value: str) -> None:
    """In one line that says what would do."""
    with pytest.raises(UsageError, match="streams: give a whole number from 1 to 999, or auto"):
        resolve(f"onnx:streams={value}", {})


def test_each_stream_makes_its_own_calls() -> None:
    """One after the other, until there are enough of all."""
    made: list[str] = []
    done = answered([lambda: made.append("a"), lambda: made.append("b")], 7)
    assert len(done) == len(made) == 7


def test_threads_are_shared_by_streams() -> None:
    """At least one each; older artifacts have one stream."""
    assert described(4, 8) == ["4 streams of 2 threads"]
    assert described(3, 2) == ["3 streams of 1 thread"]
    assert described(1, 8) == []
    assert of_details({}, 5) == 1
    assert of_details({"streams": "auto"}, 5) == 5


def test_the_readme_of_several_streams_serves_them_as_they_were_timed() -> None:
    """A stream's share of the threads, which don't spin; and that there are several callers."""
    details = {"precision": "fp32", "provider": "auto", "threads": 4}
    one, two = usage(details), usage(details | {"streams": 2})
    assert "intra_op_num_threads = 2" in two
    assert 'allow_spinning", "0"' in two
    assert "from 2 threads at once" in two
    assert "spinning" not in one
    assert "at once" not in one
    compile(two, "usage", "exec")
