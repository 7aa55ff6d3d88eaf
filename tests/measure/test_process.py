"""What a measuring process says of each batch size, with an engine that answers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from densebench import engines
from densebench.errors import TooSlow
from densebench.machine.interference import Interference
from densebench.measure import process
from densebench.measure.interleave import TimedPair
from densebench.measure.reference import Reply
from densebench.measure.timer import Slice, Timer
from densebench.processes import messages
from densebench.results.observation import ProcessSamples
from tests.artifacts.test_manifest import PLAIN
from tests.measure.scripted import Answering, ScriptedDevice, measure_job

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")
OTHERS = Interference(kind="others", text="other processes took 0.30 of 2 cores")
MORE_OTHERS = Interference(kind="others", text="other processes took 0.50 of 2 cores")
STEAL = Interference(kind="steal", text="3 % of the CPU time stolen by the host")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The engine answers at once, on a device with memory of its own; the argument changes what it says of itself."""

    def put(device: ScriptedDevice | None = None, **changes: Any) -> None:
        made = replace(engines.catalogue()[PLAIN], load=lambda *_: Answering(), **changes)
        monkeypatch.setattr(engines, "catalogue", lambda: {PLAIN: made})
        monkeypatch.setattr(process.devices, "open_device", lambda name: device or ScriptedDevice())

    put()
    return put


def samples_of(job: messages.Measure) -> list[dict[int, ProcessSamples]]:
    """The samples in each of the process's messages."""
    return [one.samples for one in process.measure(job, lambda stage: None)]


def test_each_batch_size_has_a_message_of_its_own(engine: Callable[..., None], tmp_path: Path) -> None:
    """A process that is ended at a batch size has told of all before it; traces come last."""
    said: list[str] = []
    job = measure_job(tmp_path, traces={1: tmp_path / "trace"})
    parts = []
    for part in process.measure(job, said.append):
        parts.append((list(part.samples), part.traced))
        assert (tmp_path / "trace").exists() == bool(part.traced)
    assert parts == [([1], {}), ([2], {}), ([], {1: ""})]
    assert said == ["load", "batch 1", "batch 1 done", "batch 2", "batch 2 done", "profile"]


@pytest.mark.parametrize(("own_memory", "allocator_mb"), [(False, 1.0), (True, None)])
def test_memory_is_of_the_first_batch_size_alone(
    engine: Callable[..., None], tmp_path: Path, *, own_memory: bool, allocator_mb: float | None
) -> None:
    """Some engines keep what each took. Where an engine has memory of its own, the allocator's peak says nothing."""
    engine(own_memory=own_memory)
    (first,), (second,) = ([*one.values()] for one in samples_of(measure_job(tmp_path)))
    assert (first.vram_peak_mb, first.vram_driver_peak_mb) == (allocator_mb, 200.0)
    assert first.first_inference_s
    assert first.host_memory_peak_mb
    assert [getattr(second, name) for name in process.OF_THE_FIRST] == [None] * 4
    assert second.load_s == first.load_s
    assert second.samples_ms
    assert second.page_faults is not None


def test_a_slow_recipe_is_refused_by_all_its_rounds(engine: Callable[..., None], tmp_path: Path) -> None:
    """Where the recipe is known to be slow they share the limit."""
    engine(ScriptedDevice(steady_ms=10_000.0))
    job = measure_job(tmp_path, batch_sizes=(1,), rounds=3)
    assert samples_of(job)[0][1].samples_ms == (10_000.0,) * 2
    with pytest.raises(TooSlow, match=r"FP16 is emulated here: .* in 3 rounds"):
        samples_of(job.model_copy(update={"slow_reason": "FP16 is emulated here"}))


class Meter:
    """A hundred joules more at each reading, which come with no call that is timed."""

    method = "a meter"

    def __init__(self, device: ScriptedDevice) -> None:
        self.timed_at: list[int] = []
        self._device = device

    def read_j(self) -> float:
        """Note how many calls had been timed."""
        self.timed_at.append(len(self._device.timed_ms))
        return 100.0 * len(self.timed_at)


@pytest.mark.parametrize(("call_s", "joules"), [(2.0, (100 - 5 * 4) / (2 * 2)), (22.0, None)])
def test_energy_has_a_pass_of_its_own(
    engine: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call_s: float,
    joules: float | None,
) -> None:
    """After the timed calls; where no time is left for it, a process isn't ended for it, and its samples stay."""
    called: list[float] = []
    device = ScriptedDevice(steady_ms=1000 * call_s)
    meter = Meter(device)
    engine(device)
    monkeypatch.setattr(process, "time", SimpleNamespace(perf_counter=lambda: sum(called)))
    monkeypatch.setattr(Answering, "__call__", lambda session, images: called.append(call_s))
    monkeypatch.setattr(process.energy, "open_meter", lambda device: meter)
    job = measure_job(tmp_path, batch_sizes=(2,), sample_seconds=4.0, idle_watts=5.0)
    (found,) = (one[2] for one in samples_of(job))
    assert len(found.samples_ms) == 2
    assert found.energy_j_per_image == joules
    assert meter.timed_at == ([len(device.timed_ms)] * 2 if joules else [])


@pytest.mark.parametrize("meter", ["no counter here", None])
def test_a_machine_that_meters_nothing_has_no_energy(
    engine: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meter: str | None
) -> None:
    """Neither a counter that can't be read nor a survey that found no idle power costs anything else."""
    monkeypatch.setattr(process.energy, "open_meter", lambda device: meter)
    for idle_watts in (5.0, None):
        job = measure_job(tmp_path / str(idle_watts), batch_sizes=(1,), idle_watts=idle_watts)
        assert samples_of(job)[0][1].energy_j_per_image is None


def timer_that_sees(*others: Interference) -> Any:
    """A timer that says this of all slices together."""

    class Seeing(Timer):
        def others(self, slices: object) -> tuple[Interference, ...]:
            return others

    device = ScriptedDevice()
    return Seeing(device.call, device, 1)


def pair(own_ms: float, reference_ms: float, *marks: Interference) -> TimedPair:
    """A pair of one call each."""
    return TimedPair(Slice((own_ms,), marks, page_faults=6, ran=2), Reply(calls_ms=(reference_ms,)))


def test_pairs_that_were_disturbed_are_left_out() -> None:
    """Both slices; what is left is undisturbed, and how much is left out is told."""
    found = process._paired(
        timer_that_sees(), [pair(10, 11), pair(30, 31, STEAL), pair(12, 13), pair(14, 15)]
    )
    samples = ProcessSamples.model_validate(found)
    assert [(one.own_ms, one.reference_ms) for one in samples.pairs] == [
        ((a,), (a + 1,)) for a in (10, 12, 14)
    ]
    assert (samples.left_out, samples.interference, samples.page_faults) == (0.25, (), 3)
    assert samples.own_ms == (10, 12, 14)
    assert samples.samples_ms == ()


def test_interference_is_told_once_by_kind() -> None:
    """Where most pairs are disturbed all count; what others took is best told of all slices together."""
    pairs = [pair(10, 11, STEAL, OTHERS), pair(10, 11, STEAL), pair(10, 11, OTHERS), pair(10, 11)]
    samples = ProcessSamples.model_validate(process._paired(timer_that_sees(MORE_OTHERS), pairs))
    assert samples.interference == (STEAL, MORE_OTHERS)
    assert len(samples.pairs) == 4
    assert samples.left_out == 0


def test_slices_too_short_to_tell_are_judged_together(
    engine: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them counts as disturbed, so all calls count, and the process is marked."""
    monkeypatch.setattr(Timer, "others", lambda timer, slices: (OTHERS,) if len(slices) > 1 else ())
    (found,) = (one[1] for one in samples_of(measure_job(tmp_path, batch_sizes=(1,), sample_seconds=0.2)))
    assert found.interference == (OTHERS,)
    assert (found.left_out, len(found.samples_ms)) == (0, 24)


def test_images_of_no_other_batch_size_are_in_memory(tmp_path: Path) -> None:
    """As plain tensors: a compiler has another graph for those of inference mode."""
    with torch.inference_mode():
        images = process.images_of(measure_job(tmp_path), 1)
    assert images.shape == (1, 3, 16, 16)
    assert images.untyped_storage().nbytes() == images.nbytes
    assert not images.is_inference()
