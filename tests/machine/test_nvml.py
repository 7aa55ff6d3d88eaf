"""The driver's view of a GPU, on a stand-in for `pynvml` that is compared with the installed one."""

from __future__ import annotations

import inspect
import os
import re
from types import SimpleNamespace

import pynvml
import pytest
import torch

from densebench.machine import nvml as module
from densebench.machine.nvml import Gpu, open_gpu
from tests.machine.fake_nvml import FakeNvml


@pytest.fixture
def nvml() -> FakeNvml:
    """A driver with one GPU."""
    return FakeNvml()


@pytest.fixture
def gpu(nvml: FakeNvml) -> Gpu:
    """That GPU."""
    found = open_gpu(nvml)
    assert isinstance(found, Gpu)
    return found


def test_the_driver_is_asked_in_its_units(nvml: FakeNvml, gpu: Gpu) -> None:
    """Joules, MHz and seconds."""
    nvml.millijoules, nvml.mhz = 2_500, 1410
    nvml.violation_ns[pynvml.NVML_PERF_POLICY_POWER] = 3_000_000_000
    assert (gpu.energy_j(), gpu.clock_mhz()) == (2.5, 1410.0)
    assert gpu.slowed_s() == {"power limit": 3.0, "heat": 0.0}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nvmlClocksEventReasonSwPowerCap", {"power limit"}),
        ("nvmlClocksEventReasonHwPowerBrakeSlowdown", {"power brake"}),
        ("nvmlClocksEventReasonSwThermalSlowdown", {"heat"}),
        ("nvmlClocksEventReasonHwThermalSlowdown", {"heat"}),
        ("nvmlClocksEventReasonHwSlowdown", {"hardware slowdown"}),
        ("nvmlClocksEventReasonGpuIdle", set()),
        ("nvmlClocksEventReasonUserDefinedClocks", set()),
        ("nvmlClocksEventReasonDisplayClockSetting", set()),
        ("nvmlClocksEventReasonSyncBoost", set()),
    ],
)
def test_only_reasons_that_slow_are_told(nvml: FakeNvml, gpu: Gpu, name: str, said: set[str]) -> None:
    """Idle clocks and clocks that were set are no disturbance."""
    nvml.reasons = getattr(pynvml, name)
    assert gpu.slowed_by() == said


@pytest.mark.parametrize(
    ("pids", "others"),
    [([], 0), ([os.getpid()], 0), ([os.getpid(), -1, -2], 2), ([-1], 0), ([-1, -2, -3], 2)],
)
def test_other_processes_are_counted(nvml: FakeNvml, gpu: Gpu, pids: list[int], others: int) -> None:
    """The process that asks is not one of them, by its own number or, in a container, by the host's."""
    nvml.pids = pids
    assert gpu.others() == others


OWN = os.getpid()


@pytest.mark.parametrize(
    ("memory", "own"),
    [
        ({}, None),
        ({OWN: 600}, 600),
        ({-1: 500, OWN: 600}, 600),
        ({-1: 500}, 500),  # in a container, by the host's number
        ({-1: 500, -2: 600}, None),  # in a container: one of them
        ({OWN: None}, None),
        ({-1: None, OWN: 600}, 600),
    ],
)
def test_memory_is_that_of_this_process(
    nvml: FakeNvml, gpu: Gpu, memory: dict[int, int | None], own: int | None
) -> None:
    """Never that of another one; where the driver doesn't say which it is, or how much, nothing is told."""
    nvml.pids, nvml.memory = [*memory], memory
    assert gpu.own_bytes() == own


def test_what_a_gpu_does_not_tell_is_left_out(nvml: FakeNvml, gpu: Gpu) -> None:
    """A question that isn't supported is no error."""
    nvml.refused = {name for name in vars(FakeNvml) if name.startswith("nvmlDeviceGet")}
    assert gpu.energy_j() is None
    assert gpu.clock_mhz() is None
    assert gpu.slowed_by() == frozenset()
    assert gpu.slowed_s() == {}
    assert gpu.others() == 0
    assert gpu.own_bytes() is None


def test_no_driver_is_a_reason(nvml: FakeNvml) -> None:
    """Without an answer there is a sentence instead of a GPU."""
    nvml.refused = {"nvmlInit"}
    assert str(open_gpu(nvml)).startswith("NVIDIA's driver does not answer: ")


def test_the_gpu_is_the_one_that_pytorch_uses(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its unique name where CUDA is open, as numbers differ there; else the first that may be seen."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    open_gpu(nvml)
    for visible in ("3,1", "GPU-9,GPU-8"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        open_gpu(nvml)
    monkeypatch.setattr(module, "_of_pytorch", lambda: "GPU-12")
    open_gpu(nvml)
    open_gpu(nvml, "GPU-34")
    assert nvml.opened == [0, 3, "GPU-9", "GPU-12", "GPU-34"]


def test_the_stand_in_is_like_pynvml() -> None:
    """Every name on it exists in the installed library, with the same arguments and values."""
    for name, ours in vars(FakeNvml).items():
        if name.startswith("_"):
            continue
        real = getattr(pynvml, name)
        if inspect.isfunction(ours):
            parameters = list(inspect.signature(ours).parameters)[1:]
            assert parameters == list(inspect.signature(real).parameters), name
        else:
            assert ours == real


def test_nothing_else_is_asked() -> None:
    """What is called on `pynvml` is what the stand-in was compared for."""
    source = inspect.getsource(module)
    used = set(re.findall(r"(?:\bnvml\.|\")(nvml\w+|NVML\w+)", source))
    assert len(used) >= 14
    assert used <= set(vars(FakeNvml))
    fields = dict(pynvml.c_nvmlViolationTime_t._fields_)
    assert "violationTime" in fields
    assert {"pid", "usedGpuMemory"} <= set(dict(pynvml.c_nvmlProcessInfo_t._fields_))


def test_pytorchs_device_has_the_drivers_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU in use is found by the name that both know it by; a process that hasn't opened CUDA has none."""
    assert module._of_pytorch() == "" or torch.cuda.is_initialized()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"a-{index}"))
    assert module._of_pytorch() == "GPU-a-1"
    properties = getattr(torch._C, "_CudaDeviceProperties", None)
    assert properties is None or "uuid" in dir(properties)
