"""What slows a GPU down while a slice is timed, and what is only how the card is."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from densebench.machine import interference
from densebench.machine.interference import GpuReading, Watch, on_the_gpu, told
from densebench.machine.nvml import Gpu, open_gpu
from tests.machine.fake_nvml import FakeNvml
from tests.machine.kernel import Kernel, frozen, kernel

__all__ = ["frozen", "kernel"]


def disturbed(before: GpuReading, then: GpuReading) -> tuple[list[str], bool]:
    """What disturbed a slice of 10 s on the GPU between the two readings, and whether it ran at its power limit."""
    found, limited = on_the_gpu(before, then, 10)
    return [one.text for one in found], limited


def test_what_slows_a_gpu_is_told() -> None:
    """The reasons that hold at the end, those that held for a part of the slice, and others' work."""
    quiet = GpuReading(1980.0, frozenset(), {"heat": 5.0, "power limit": 9.0}, 0)
    assert disturbed(quiet, quiet) == ([], False)
    assert disturbed(quiet, replace(quiet, slowed_by=frozenset({"heat"}))) == (
        ["the GPU was slowed down: heat"],
        False,
    )
    held = replace(quiet, slowed_s={"heat": 5.9, "power limit": 9.1})
    assert disturbed(quiet, held) == (["the GPU was slowed down: heat"], False)
    assert disturbed(replace(quiet, slowed_s={}), held) == ([], False)
    assert disturbed(quiet, replace(quiet, others=1)) == (["1 other process on the GPU"], False)
    assert disturbed(replace(quiet, others=3), quiet) == (["3 other processes on the GPU"], False)
    assert disturbed(quiet, replace(quiet, clock_mhz=1200.0)) == (
        ["the GPU's clock fell from 1980 to 1200 MHz"],
        False,
    )


LIMIT = frozenset({"power limit"})


@pytest.mark.parametrize(
    ("before", "then", "limited"),
    [
        (GpuReading(1100.0, LIMIT), GpuReading(900.0, LIMIT), True),  # a T4, all the time
        (
            GpuReading(1100.0, LIMIT, {"power limit": 1.0}),
            GpuReading(900.0, slowed_s={"power limit": 9.0}),
            True,
        ),
        (GpuReading(1980.0, slowed_s={"power limit": 1.0}), GpuReading(1900.0, LIMIT), True),  # now and then
        (
            GpuReading(1590.0, slowed_s={"power limit": 1.0}),
            GpuReading(1590.0, slowed_s={"power limit": 1.1}),
            False,
        ),
        (
            GpuReading(None),
            GpuReading(900.0, LIMIT),
            True,
        ),  # from rest: what its clock was under load is unknown
    ],
)
def test_a_power_limit_that_holds_steadily_disturbs_nothing(
    before: GpuReading, then: GpuReading, *, limited: bool
) -> None:
    """It is how such a card is, and will be where the model is deployed; that it was so is known."""
    assert disturbed(before, then) == ([], limited)


def test_a_power_limit_that_begins_to_hold_disturbs() -> None:
    """Calls before and after that have different clocks; heat under a power limit is told as heat."""
    cool, capped = GpuReading(1590.0, slowed_s={"power limit": 1.0}), GpuReading(1100.0, LIMIT)
    fell = "the GPU's clock fell from 1590 to 1100 MHz"
    assert disturbed(cool, capped) == (["the GPU was slowed down: power limit", fell], False)
    counted = GpuReading(1100.0, slowed_s={"power limit": 3.0})
    assert disturbed(cool, counted) == (["the GPU was slowed down: power limit", fell], False)
    assert disturbed(replace(capped, clock_mhz=1590.0), GpuReading(1100.0)) == ([fell], False)
    hot = replace(capped, slowed_by=LIMIT | {"heat"})
    assert disturbed(capped, hot) == (["the GPU was slowed down: heat"], True)


def test_a_watch_asks_the_gpus_driver(frozen: Kernel) -> None:
    """On CUDA the driver's answers before and after are compared too."""
    nvml = FakeNvml()
    nvml.pids = [os.getpid()]
    gpu = open_gpu(nvml)
    assert isinstance(gpu, Gpu)
    watch = Watch("cuda", threads=2, gpu=gpu)
    watch.begin()
    nvml.mhz, nvml.reasons = 900, nvml.nvmlClocksEventReasonHwThermalSlowdown
    nvml.pids = [os.getpid(), -1]
    found = watch.end()
    assert told(found) == (
        "the GPU was slowed down: heat; 1 other process on the GPU; the GPU's clock fell from 1980 to 900 MHz"
    )
    assert len({one.kind for one in found}) == len(found)


@pytest.mark.parametrize(("reasons", "capped"), [("SwPowerCap", True), ("GpuIdle", False)])
def test_a_watch_knows_a_card_at_its_power_limit(frozen: Kernel, reasons: str, *, capped: bool) -> None:
    """By what the driver says before and after; nothing is told as a disturbance of it."""
    nvml = FakeNvml()
    nvml.reasons = getattr(nvml, f"nvmlClocksEventReason{reasons}", nvml.reasons)
    gpu = open_gpu(nvml)
    assert isinstance(gpu, Gpu)
    watch = Watch("cuda", threads=2, gpu=gpu)
    watch.begin()
    nvml.mhz -= 500 * capped
    assert (watch.end(), watch.power_limited) == ((), capped)


def test_the_clock_of_a_gpu_at_rest_is_not_compared(frozen: Kernel) -> None:
    """It may be higher than any load allows; its power limit is no disturbance then."""
    nvml = FakeNvml()
    gpu = open_gpu(nvml)
    assert isinstance(gpu, Gpu)
    watch = Watch("cuda", threads=2, gpu=gpu)
    watch.begin(at_work=False)
    nvml.mhz, nvml.reasons = 900, nvml.nvmlClocksEventReasonSwPowerCap
    assert (watch.end(), watch.power_limited) == ((), True)


def test_the_gpu_is_looked_for_when_cuda_is_open(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before the slice begins, as until then nobody knows which GPU it is on; never on the CPU."""
    asked: list[str] = []
    monkeypatch.setattr(interference, "open_gpu", lambda: asked.append("gpu") or "no driver")
    watch = Watch("cuda")
    assert asked == []
    watch.begin()
    assert asked == ["gpu"]
    Watch("cpu").begin()
    assert asked == ["gpu"]
