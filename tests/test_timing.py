"""What the measuring children take down beside the samples, with an engine and a GPU that aren't there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from densebench import engines, jobs, timing, worker
from densebench.beside import Told
from densebench.measure import ceiling_probe
from densebench.measure.cores import Speed
from densebench.measure.device import Cpu
from densebench.measure.latency import Budget, Samples
from densebench.stream import Stream
from tests.test_artifact import PLAIN, make

pytest_plugins = ["tests.fixtures"]


class Card(Cpu):
    """A device whose allocator and driver tell different peaks."""

    def peak_mb(self) -> tuple[float | None, float | None]:
        return 1.0, 200.0


class Answering:
    """A session that answers at once."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2)

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("own_key")
@pytest.mark.parametrize(("own_memory", "told"), [(False, 1.0), (True, None)])
def test_memory_that_pytorch_does_not_see_is_not_told_as_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, own_memory: bool, told: float | None
) -> None:
    """Of an engine with memory of its own the allocator's peak is blank, not 1 MB; the driver's stands."""
    engine = replace(engines.catalogue()[PLAIN], load=lambda *_: Answering(), own_memory=own_memory)
    monkeypatch.setattr(engines, "catalogue", lambda: {PLAIN: engine})
    monkeypatch.setattr(timing.devices, "open_device", lambda name: Card())
    save_file({"images": torch.zeros(2, 3, 16, 16)}, tmp_path / "images")
    job = jobs.Measure(
        folder=make(tmp_path / "model"),
        device="cpu",
        batch_sizes=(1, 2),
        timing_file=tmp_path / "images",
        sample_seconds=0,
        timeout_s=100,
        slow_reason="",
        threads=1,
        trust=False,
    )
    first, second = (dict(one.blocks) for one in timing.measure(job, lambda stage: None))
    assert (first[1].vram_peak_mb, first[1].vram_driver_peak_mb) == (told, 200.0)
    assert first[1].first_inference_s is not None
    assert first[1].page_faults is not None
    assert second[2].first_inference_s is None  # the process has run before
    assert (second[2].vram_driver_peak_mb, second[2].host_memory_peak_mb) == (None, None)
    assert second[2].load_s == first[1].load_s


def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> jobs.Measure:
    """To time a model that answers at once, two images a call."""
    engine = replace(engines.catalogue()[PLAIN], load=lambda *_: Answering())
    monkeypatch.setattr(engines, "catalogue", lambda: {PLAIN: engine})
    save_file({"images": torch.zeros(2, 3, 16, 16)}, tmp_path / "images")
    job = {"sample_seconds": 0, "slow_reason": ""} | more
    return jobs.Measure(
        folder=make(tmp_path / "model"),
        device="cpu",
        batch_sizes=(2,),
        timing_file=tmp_path / "images",
        timeout_s=100,
        threads=1,
        trust=False,
        **job,
    )


@pytest.mark.usefixtures("own_key")
def test_warm_up_knows_the_first_inference_and_the_processes_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first inference is one of its calls; what is known to be slow must fit for all processes of its row.

    What a batch size before took makes expect how long it is.
    """
    told: list[tuple[Budget, float | None, float]] = []

    def warm_up(
        stream: Stream, budget: Budget, first_ms: float | None = None, expected_ms: float = 0.0
    ) -> float:
        told.append((budget, first_ms, expected_ms))
        stream.call_ms = 1.0
        return 1.0

    monkeypatch.setattr(Stream, "warm_up", warm_up)
    job = answering(tmp_path, monkeypatch, slow_reason="FP16 is emulated here", processes={2: 3})
    job = job.model_copy(update={"batch_sizes": (2, 1)})
    found = next(one.blocks[2] for one in [*timing.measure(job, lambda stage: None)] if 2 in one.blocks)
    (budget, first_ms, nothing), (*_, expected_ms) = told
    assert nothing == 0.0
    assert expected_ms == pytest.approx(sum(found.samples_ms) / len(found.samples_ms) / 2)
    assert (budget.slow_reason, budget.processes) == ("FP16 is emulated here", 3)
    assert found.first_inference_s is not None
    assert first_ms == 1000 * found.first_inference_s


class Shared:
    """CPUs that share a core until they have been looked at so often."""

    def __init__(self, looks: int) -> None:
        self.left = looks
        self.looks_us = [230.0]

    def news(self) -> tuple[float, ...]:
        return tuple(self.looks_us)

    def speed(self) -> Speed:
        self.left -= 1
        return Speed("at half their speed") if self.left >= 0 else Speed()


@pytest.mark.usefixtures("own_key")
def test_the_cpus_are_looked_at_while_a_process_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is known from before; calls meanwhile don't count, and what was found goes to the next process."""
    told: list[tuple[str, int, float | None]] = []

    def opened(device: str, threads: int, known_us: float | None) -> Shared:
        told.append((device, threads, known_us))
        return Shared(2)

    monkeypatch.setattr(timing, "open_cores", opened)
    job = answering(tmp_path, monkeypatch, sample_seconds=0.01, full_speed_us=240.0)
    (found,) = (one.blocks[2] for one in timing.measure(job, lambda stage: None))
    assert told == [("cpu", 1, 240.0)]
    assert found.looks_us == (230.0,)
    assert found.left_out > 0
    assert found.disturbance == ""


def test_the_survey_tells_the_speed_of_the_cpus_and_the_clocks_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the first processes know it."""
    monkeypatch.setattr(worker.cores, "open_cores", lambda device, threads: Shared(0))
    monkeypatch.setattr(worker.cores, "survey", lambda cores: tuple(cores.looks_us))
    job = jobs.Survey(device="cpu", threads=1, environment_id="e", ceilings=False)
    monkeypatch.setattr(worker.devices, "clock_step_us", lambda device: 0.04)
    found = worker.survey(job, lambda stage: None)
    assert (found.looks_us, found.clock_step_us) == ((230.0,), 0.04)


def test_energy_is_of_the_turns_that_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joules above idle over all of their calls, those after a pause too; a turn left out had others' work."""
    kept = Samples((1.0,) * 3, 3, settled=1, spent_s=2.0, spent_j=30.0)
    disturbed = Samples((1.0,) * 3, 3, "a backup", settled=1, spent_s=2.0, spent_j=900.0)
    made = iter([kept, disturbed, kept])

    def alternate(own: Any, *_: Any) -> Any:
        ours = [own() for _ in range(3)]
        return ours[::2], [Told(samples_ms=(2.0,) * 3)] * 2, "1 of 3 turns left out: a backup"

    monkeypatch.setattr(timing.turns, "alternate", alternate)
    stream: Any = SimpleNamespace(
        calls=9,
        ran=12,
        page_faults=0,
        turn=lambda *_: next(made),
        disturbed=lambda blocks: "",
        rest=lambda: None,
    )
    beside: Any = SimpleNamespace(block=None, calls_ms={})
    monkeypatch.setattr(timing, "partial", lambda *_: None)
    job = answering(tmp_path, monkeypatch, beside={2: "x"}, idle_watts=5.0)
    facts = timing._timed(stream, 1.0, Budget(0.01, 100.0), job, 2, beside)
    assert facts["energy_j_per_image"] == (60 - 5 * 4) / (8 * 2)


def test_a_machine_is_idle_before_it_is_worked_hard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that is still hot from the ceilings took more while idle than a model did: energy came out as 0."""
    done: list[str] = []

    def noted(name: str, value: Any) -> Any:
        def note(*_: object) -> Any:
            done.append(name)
            return value

        return note

    monkeypatch.setattr(ceiling_probe, "known_ceilings", noted("ceilings", None))
    monkeypatch.setattr(worker.energy, "open_meter", lambda device: SimpleNamespace(method="a meter"))
    monkeypatch.setattr(worker.energy, "idle_watts", noted("idle", 7.0))
    job = jobs.Survey(device="cpu", threads=1, environment_id="e", ceilings=True)
    assert worker.survey(job, lambda stage: None).idle_watts == 7.0
    assert done == ["idle", "ceilings"]


def test_a_compilers_error_is_not_lost_behind_its_command() -> None:
    """Its own words stand in the reason, after the beginning, however long the command was."""
    command = "C++ compile error Command: g++ " + "-D SOMETHING " * 100
    said = jobs.problem_of(RuntimeError(f"{command} main.cpp:3:1: error: cuda.h: No such file")).message
    assert said.startswith("RuntimeError: C++ compile error")
    assert said.endswith("error: cuda.h: No such file")
    assert len(said) <= 500
    assert len(jobs.problem_of(RuntimeError("long " * 300)).message) == 500
