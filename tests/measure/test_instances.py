"""Several processes that answer at once: what is timed, what they take, and what is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from densebench.artifacts.load import open_artifact
from densebench.errors import Unavailable, UsageError
from densebench.machine.cpus import INSTANCES
from densebench.measure import process
from densebench.measure.instances import Instances, asked, serving
from densebench.measure.streams import streams_of
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.results.observation import ProcessSamples
from densebench.worker.build import build_artifact
from densebench.workloads import WorkloadRequest, open_workload
from tests.measure.scripted import measure_job
from tests.techniques.test_host import seen

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")


SIZE = 32


@pytest.fixture
def job(tmp_path: Path) -> messages.Measure:
    """Time a small model at batch sizes 1 and 2 with two threads."""
    asked_for = {"model": "squeezenet1_1", "weights": "random", "data": "none", "image_size": SIZE}
    build = messages.Build(
        workload=messages.WorkloadJob(**asked_for, seed=0),
        recipe="baseline",
        named={"baseline": "eager"},
        device="cpu",
        batch_sizes=(1, 2),
        folder=tmp_path / "artifact",
        threads=2,
    )
    build_artifact(
        build, resolve("eager", {}), open_workload(WorkloadRequest(**asked_for)), lambda stage: None
    )
    measure = measure_job(tmp_path / "job", threads=2).model_copy(update={"folder": build.folder})
    save_file({"images": torch.zeros(2, 3, SIZE, SIZE)}, measure.timing_file)
    return measure


def test_all_processes_answer(job: messages.Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """At another batch size too; their memory is added up, and they end with the session."""
    monkeypatch.setenv(INSTANCES, "2")
    with open_artifact(job.folder, "cpu") as artifact, serving(artifact, job) as session:
        assert isinstance(session, Instances)
        assert streams_of(session) == 2
        for size in (1, 2):
            began = time.perf_counter()
            answers = session.answer(torch.zeros(size, 3, SIZE, SIZE), 6)
            assert len(answers) == 6
            assert all(began < one <= time.perf_counter() for one in answers)
        peaks = [one.peak_mb() for one in session.processes]
        assert session.peak_mb() == pytest.approx(sum(peaks), rel=0.1)
        assert min(peaks) > 50  # PyTorch alone takes more
    assert not session.processes


def test_a_timed_process_says_how_many_there_were(
    job: messages.Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its memory is what the processes took that answered: two copies of PyTorch."""
    alone, both = (memory_at(job, count, monkeypatch) for count in "12")
    assert (alone.streams, both.streams) == (1, 2)
    assert both.host_memory_peak_mb > alone.host_memory_peak_mb / 2


def memory_at(job: messages.Measure, count: str, monkeypatch: pytest.MonkeyPatch) -> ProcessSamples:
    """What a timed process tells with so many instances."""
    monkeypatch.setenv(INSTANCES, count)
    measured = [one for one in process.measure(job, lambda stage: None) if one.samples]
    return measured[0].samples[1]


def test_there_are_as_many_as_threads_at_most() -> None:
    """`auto` is one for each."""
    assert [asked("auto", 4), asked("2", 4), asked("1", 1)] == [4, 2, 1]
    with pytest.raises(Unavailable, match="8 processes need as many threads, and there are 4"):
        asked("8", 4)


def test_the_effect_names_them() -> None:
    """More processes than threads were refused before; here one thread makes of `auto` one process."""
    several = {INSTANCES: "2"}
    assert resolve("instances:count=2+jit", {}).environment() == several
    assert seen({INSTANCES: "auto"}, {INSTANCES: "auto"}) == ["none: one process has all threads"]
    assert seen(several, several) == ["none: 2 processes need as many threads, and 1 are there"]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("instances:count=0", "give a whole number from 1 to 999, or auto"),
        ("instances:count=2+openvino:streams=2", "it has streams of its own: give one of the two"),
        ("instances+onnx:streams=auto", "it has streams of its own: give one of the two"),
        ("instances+instances:count=2", "instances"),
    ],
)
def test_what_makes_no_sense_is_refused(recipe: str, said: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=said):
        resolve(recipe, {})
