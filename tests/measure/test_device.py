"""The CPU's clock, and the CUDA path's logic on a stand-in for `torch.cuda`."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from densebench.machine.nvml import open_gpu
from densebench.measure import device as devices
from densebench.measure.device import EVENT_STEP_US, Cpu, Cuda, clock_step_us, open_device
from densebench.processes import messages
from densebench.worker import jobs as worker
from tests.machine.fake_nvml import FakeNvml


class FakeEvent:
    """Notes what it is asked; a recorded event is at the device's time."""

    def __init__(self, enable_timing: bool = False) -> None:  # noqa: FBT001, FBT002 - torch's own signature
        assert enable_timing, "an event without timing has no time"
        self.number = FakeCuda.events
        FakeCuda.events += 1
        self.at: float | None = None

    def record(self) -> None:
        FakeCuda.log.append(f"record {self.number}")
        self.at = FakeCuda.now_ms

    def synchronize(self) -> None:
        FakeCuda.log.append(f"wait {self.number}")

    def elapsed_time(self, end_event: FakeEvent) -> float:
        FakeCuda.log.append(f"elapsed {self.number} to {end_event.number}")
        assert self.at is not None
        assert end_event.at is not None
        return end_event.at - self.at


class FakeCuda:
    """A stand-in for the module `torch.cuda`."""

    log: ClassVar[list[str]] = []
    events: ClassVar[int] = 0
    now_ms: ClassVar[float] = 0.0
    free: ClassVar[int] = 10_000_000_000
    allocated: ClassVar[int] = 0
    Event = FakeEvent

    @classmethod
    def synchronize(cls) -> None:
        cls.log.append("synchronize")

    @classmethod
    def empty_cache(cls) -> None:
        cls.log.append("empty cache")

    @classmethod
    def reset_peak_memory_stats(cls) -> None:
        cls.log.append("reset peak")
        cls.allocated = 0

    @classmethod
    def mem_get_info(cls) -> tuple[int, int]:
        return cls.free, 80_000_000_000

    @classmethod
    def max_memory_allocated(cls) -> int:
        return cls.allocated


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """A CUDA device on the stand-in."""
    for name, value in {
        "log": [],
        "events": 0,
        "now_ms": 0.0,
        "free": 10_000_000_000,
        "allocated": 0,
    }.items():
        monkeypatch.setattr(FakeCuda, name, value)
    return Cuda(FakeCuda, lambda: "no driver")


@pytest.fixture
def nvml() -> FakeNvml:
    """A driver that knows this process, whose context takes 400 MB."""
    found = FakeNvml()
    found.pids, found.memory = [os.getpid(), -1], {os.getpid(): 400_000_000}
    return found


@pytest.fixture
def known(cuda: Cuda, nvml: FakeNvml) -> Cuda:
    """A CUDA device whose driver answers."""
    return Cuda(FakeCuda, lambda: open_gpu(nvml))


def work(ms: float, takes: int = 0) -> Any:
    """A call that the device works on for so long, and that leaves it with less free memory."""

    def call() -> None:
        FakeCuda.log.append("call")
        FakeCuda.now_ms += ms
        FakeCuda.free -= takes
        FakeCuda.allocated = max(FakeCuda.allocated, takes)

    return call


def test_time_is_between_two_events_around_the_call(cuda: Cuda) -> None:
    """Idle device, start, the call, end, wait for the end, then start to end: in this order and no other."""
    assert cuda.time_ms(work(12.5)) == 12.5
    assert FakeCuda.log == ["synchronize", "record 0", "call", "record 1", "wait 1", "elapsed 0 to 1"]


def test_each_call_has_events_of_its_own(cuda: Cuda) -> None:
    """One timing doesn't see another's."""
    assert [cuda.time_ms(work(ms)) for ms in (3.0, 7.0)] == [3.0, 7.0]
    assert FakeCuda.log[-1] == "elapsed 2 to 3"


def test_a_reset_waits_and_forgets(cuda: Cuda) -> None:
    """The peak starts anew on an idle device with an empty cache."""
    cuda.reset_peak()
    assert FakeCuda.log == ["synchronize", "empty cache", "reset peak"]
    assert cuda.peak_mb() == (0.0, 0.0)


def test_the_drivers_peak_is_the_process_s_with_its_context(known: Cuda, nvml: FakeNvml) -> None:
    """What the driver says of this process at its most, from the reset on; not what others take meanwhile."""
    known.reset_peak()
    assert known.peak_mb() == (0.0, 400.0)
    for used, takes in ((900_000_000, 500_000_000), (700_000_000, 0), (700_000_000, 5_000_000_000)):
        nvml.memory[os.getpid()] = used
        known.time_ms(work(1, takes))
    assert known.peak_mb()[1] == 900.0
    known.reset_peak()
    assert known.peak_mb()[1] == 700.0
    nvml.memory[os.getpid()] = 800_000_000
    FakeCuda.free -= 100_000_000
    assert known.peak_mb()[1] == 800.0  # taken by no call, but before the end


def test_the_driver_is_asked_only_when_memory_was_taken(known: Cuda, nvml: FakeNvml) -> None:
    """Its list of processes takes far longer than a short call, and a call that takes nothing new has no peak."""
    known.reset_peak()
    known.time_ms(work(1, takes=1))
    nvml.refused = {"nvmlDeviceGetComputeRunningProcesses"}  # would make it unknown
    for _ in range(3):
        known.time_ms(work(1))
    assert known.peak_mb()[1] == 400.0
    known.time_ms(work(1, takes=1_000_000))
    assert known.peak_mb()[1] == pytest.approx(1.0, abs=0.01)


def test_without_the_drivers_word_it_is_what_the_device_lost(cuda: Cuda) -> None:
    """The allocator's peak is its own; the other one is what the device's free memory lost at its lowest."""
    cuda.reset_peak()
    cuda.time_ms(work(1, takes=300_000_000))
    FakeCuda.free += 200_000_000
    cuda.time_ms(work(1))
    FakeCuda.allocated = 250_000_000
    assert cuda.peak_mb() == (250.0, 300.0)
    cuda.reset_peak()
    cuda.time_ms(work(1, takes=1_000_000))
    assert cuda.peak_mb() == (1.0, 1.0)


def test_synchronize_waits_for_the_device(cuda: Cuda) -> None:
    """Loading is over when the device is done with it."""
    cuda.synchronize()
    assert FakeCuda.log == ["synchronize"]


def test_the_stand_in_is_like_torch_cuda() -> None:
    """Every name on the stand-in exists on the real module, and takes the arguments it is given here."""
    names = [
        name for name in vars(FakeCuda) if not name.startswith("_") and callable(getattr(FakeCuda, name))
    ]
    assert {"synchronize", "mem_get_info", "Event"} <= set(names)
    for name in names:
        real = getattr(torch.cuda, name)
        if name != "Event":
            inspect.signature(real).bind()
    assert isinstance(torch.cuda.mem_get_info, type(test_the_stand_in_is_like_torch_cuda))
    inspect.signature(torch.cuda.Event.__new__).bind(torch.cuda.Event, enable_timing=True)
    inspect.signature(torch.cuda.Event.record).bind("event")
    inspect.signature(torch.cuda.Event.synchronize).bind("event")
    inspect.signature(torch.cuda.Event.elapsed_time).bind("start", "end")


def test_the_device_asks_for_nothing_else() -> None:
    """What the device calls on `torch.cuda` is what the stand-in was compared for."""
    used = set(inspect.getsource(Cuda).split("self.cuda.")[1:])
    assert {text.split("(")[0].split("\n")[0] for text in used} <= set(vars(FakeCuda))


def test_the_real_module_is_the_default() -> None:
    """Without a stand-in the device is PyTorch's."""
    assert Cuda().cuda is torch.cuda


def test_the_cpu_times_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's time is the clock's difference over one call, in ms; it has no device memory."""
    ticks = iter([1_000_000, 3_500_000])
    monkeypatch.setattr(devices.time, "perf_counter_ns", lambda: next(ticks))
    called = []
    assert Cpu().time_ms(lambda: called.append(1)) == 2.5
    assert called == [1]
    Cpu().reset_peak()
    assert Cpu().peak_mb() == (None, None)


@pytest.mark.parametrize(
    ("readings", "step_ns", "said"),
    [(1, 40, 0.04), (3, 1_000, 1.0), (20_000, 4_000_000, 4_000.0)],
)
def test_a_clocks_smallest_step_is_seen(readings: int, step_ns: int, said: float) -> None:
    """Whether it advances at each reading, or only after many; a step that took longer doesn't count."""
    count = itertools.count()

    def clock() -> int:
        steps = next(count) // readings
        return step_ns * (steps + 10 * (steps > 1))

    assert clock_step_us("cpu", clock) == pytest.approx(said)


def test_events_have_the_step_that_their_makers_state() -> None:
    """The host's clock says nothing of them; on the CPU it is the real one's, far below a millisecond."""
    assert clock_step_us("cuda", lambda: 0) == EVENT_STEP_US
    assert 0 < clock_step_us("cpu") < 1000


@pytest.fixture
def tf32() -> Iterator[tuple[Any, Any]]:
    """The two switches of TF32, on; as they were afterwards."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = True
    yield switches
    for switch, was in zip(switches, before, strict=True):
        switch.allow_tf32 = was


def test_opening_cuda_turns_tf32_off(tf32: tuple[Any, Any]) -> None:
    """On a GPU FP32 rows compute in FP32; on the CPU nothing is touched."""
    assert isinstance(open_device("cpu"), Cpu)
    assert all(switch.allow_tf32 for switch in tf32)
    assert isinstance(open_device("cuda"), Cuda)
    assert not any(switch.allow_tf32 for switch in tf32)


@pytest.mark.parametrize("kind", ["build", "evaluate", "measure"])
def test_every_job_computes_fp32_in_fp32(
    tf32: tuple[Any, Any], kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is built, checked and traced on a GPU is what is timed: TF32 is off in all of them."""
    workload = messages.WorkloadJob(model="m", weights="w", data="d", image_size=32, seed=0)
    file = tmp_path / "file"
    job = messages.Envelope.model_validate(
        {
            "job": {
                "build": {
                    "kind": "build",
                    "recipe": "r",
                    "named": {},
                    "batch_sizes": (1,),
                    "workload": workload,
                },
                "evaluate": {
                    "kind": "evaluate",
                    "workload": workload,
                    "batch_size": 1,
                    "reference": file,
                    "is_reference": True,
                    "seconds": 1,
                    "images": 1,
                    "trust": False,
                },
                "measure": {
                    "kind": "measure",
                    "batch_sizes": (1,),
                    "timing_file": file,
                    "sample_seconds": 1,
                    "timeout_s": 1,
                    "slow_reason": "",
                    "trust": False,
                },
            }[kind]
            | {"folder": tmp_path, "device": "cuda", "threads": torch.get_num_threads()}
        }
    ).job
    seen: list[bool] = []

    def look(*_: object) -> tuple[()]:
        seen.extend(switch.allow_tf32 for switch in tf32)
        return ()

    monkeypatch.setattr(worker, kind, look)
    with torch.random.fork_rng(devices=[]):
        list(worker._prepare_and_do(job, lambda stage: None))
    assert seen == [False, False]
