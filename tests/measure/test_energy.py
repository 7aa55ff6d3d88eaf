"""Joules from counters that wrap around, that root keeps to itself, and that aren't there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.measure import energy
from densebench.measure.energy import idle_watts, joules_per_image, open_meter, since
from tests.machine.fake_nvml import FakeNvml

RANGE_UJ = 262_143_328_850


class Powercap:
    """The kernel's folder of energy counters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def zone(self, zone: str, name: str, uj: int) -> None:
        """Set a zone's counter."""
        folder = self.folder / zone
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in (("name", name), ("energy_uj", uj), ("max_energy_range_uj", RANGE_UJ)):
            (folder / file).write_text(f"{text}\n", encoding="ascii")


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Powercap:
    """The only energy counters there are."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return Powercap(tmp_path)


def opened(device: str, nvml: FakeNvml | None = None) -> energy.Meter:
    """The meter, which there has to be."""
    meter = open_meter(device, nvml)
    assert not isinstance(meter, str), meter
    return meter


def test_packages_are_summed_and_nothing_twice(powercap: Powercap) -> None:
    """Both packages count; their parts, the whole board and the second way to the same package don't."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1"}
    others = {"intel-rapl:0:0": "core", "intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-0"}
    for zone, name in (zones | others).items():
        powercap.zone(zone, name, 1_000_000)
    meter = opened("cpu")
    assert meter.method == "RAPL, processor packages"
    assert meter.read_j() == 0.0
    for zone, name in (zones | others).items():
        powercap.zone(zone, name, 3_500_000)
    assert meter.read_j() == 5.0
    assert meter.read_j() == 5.0


def test_a_counter_that_starts_again_goes_on(powercap: Powercap) -> None:
    """After its range the counter is at 0 again; the meter is not."""
    powercap.zone("intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    meter = opened("cpu")
    powercap.zone("intel-rapl:0", "package-0", 2_000_000)
    assert meter.read_j() == 3.0


@given(st.integers(0, RANGE_UJ - 1), st.lists(st.integers(0, RANGE_UJ - 1), max_size=30))
def test_steps_of_a_wrapping_counter_add_up(start: int, steps: list[int]) -> None:
    """Whatever the steps, if each is shorter than the range, their sum is what was used."""
    total, last = 0, start
    for step in steps:
        now = (last + step) % RANGE_UJ
        total += since(last, now, RANGE_UJ)
        last = now
    assert total == sum(steps)


@given(st.integers(0, 2**64), st.integers(0, 2**64), st.integers(0, 2**64))
def test_energy_never_runs_backwards(last: int, now: int, wraps_at: int) -> None:
    """Whatever a counter says."""
    assert since(last, now, wraps_at) >= 0


def test_no_counter_is_a_reason(powercap: Powercap) -> None:
    """A machine without RAPL, and one whose zones are no packages."""
    assert "no RAPL" in str(open_meter("cpu"))
    powercap.zone("intel-rapl:0", "psys", 0)
    assert "no RAPL" in str(open_meter("cpu"))


def test_a_counter_for_root_only_is_a_reason(powercap: Powercap, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says since when, and what to do."""
    powercap.zone("intel-rapl:0", "package-0", 0)
    readable = Path.read_text

    def refuse(path: Path, **how: str) -> str:
        if path.name == "energy_uj":
            raise PermissionError
        return readable(path, **how)

    monkeypatch.setattr(Path, "read_text", refuse)
    reason = open_meter("cpu")
    assert isinstance(reason, str)
    assert "root since 2020" in reason
    assert "chmod" in reason


def test_a_broken_counter_is_a_reason(powercap: Powercap) -> None:
    """A file that holds no number is told, not raised."""
    powercap.zone("intel-rapl:0", "package-0", 0)
    (powercap.folder / "intel-rapl:0/energy_uj").write_text("odd", encoding="ascii")
    assert str(open_meter("cpu")).startswith("RAPL does not answer")


def test_a_gpu_counts_from_where_it_is_opened() -> None:
    """In joules from the driver's millijoules; a driver that was loaded anew doesn't take any back."""
    nvml = FakeNvml()
    nvml.millijoules = 1_000_000
    meter = opened("cuda", nvml)
    assert meter.method == "NVML, GPU board"
    assert meter.read_j() == 0.0
    nvml.millijoules = 1_004_500
    assert meter.read_j() == 4.5
    nvml.millijoules = 20
    assert meter.read_j() == 4.5
    nvml.refused = {"nvmlDeviceGetTotalEnergyConsumption"}
    assert meter.read_j() == 4.5


def test_a_gpu_without_a_counter_is_a_reason() -> None:
    """An older card and a missing driver are told apart."""
    nvml = FakeNvml()
    nvml.refused = {"nvmlDeviceGetTotalEnergyConsumption"}
    assert open_meter("cuda", nvml) == "this GPU does not count its energy"
    nvml.refused = {"nvmlInit"}
    assert "driver does not answer" in str(open_meter("cuda", nvml))


def test_idle_power_is_energy_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the time that went by, which may be longer than was asked for."""
    nvml, now = FakeNvml(), [0.0]
    meter = opened("cuda", nvml)

    def sleep(seconds: float) -> None:
        now[0] += 2 * seconds
        nvml.millijoules += 30_000

    monkeypatch.setattr(energy.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(energy.time, "sleep", sleep)
    assert idle_watts(meter, 0.5) == pytest.approx(30.0)


def test_idle_power_is_subtracted() -> None:
    """100 J in 2 s at 20 W idle are 60 J for 30 images."""
    assert joules_per_image(100.0, 2.0, 20.0, 30) == pytest.approx(2.0)


@given(st.floats(0, 1e9), st.floats(0, 1e6), st.floats(0, 1e4), st.integers(1, 10**9))
def test_an_image_takes_no_more_than_everything(
    total: float, seconds: float, idle: float, images: int
) -> None:
    """Never more than what was measured; what is lost in idling is below zero, so that a mean is not biased."""
    assert joules_per_image(total, seconds, idle, images) <= total / images
    assert joules_per_image(total, 2.0, total, images) <= 0
