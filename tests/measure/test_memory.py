"""The kernel's peak of resident memory, reset and read."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from densebench.measure import memory


def test_the_peak_is_of_what_was_used_since_the_reset() -> None:
    """100 MB raise the peak by about that; freed, they stay in it until the next reset."""
    if not memory.reset_peak():
        pytest.skip("this kernel doesn't let a process reset its peak")
    before, floor = memory.peak_mb(), memory.resident_mb()
    assert before is not None
    assert floor is not None
    assert before == pytest.approx(floor, abs=5)
    # a mapping of its own: an allocator may hand out pages that are resident already
    with mmap.mmap(-1, 100_000_000) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        during = memory.peak_mb()
    after = memory.peak_mb()
    assert during is not None
    assert during - before == pytest.approx(100, abs=10)
    assert after == pytest.approx(during, abs=5)
    memory.reset_peak()
    again = memory.peak_mb()
    assert again is not None
    assert again < during - 80


def test_a_system_without_proc_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel tells nothing, figures are blank and the reset says that it did not happen."""
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear")
    assert memory.reset_peak() is False
    assert memory.resident_mb() is None
    assert memory.peak_mb() is None


def test_kibibytes_become_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's kB are 1,024 bytes; a figure in MB is a million."""
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\n", encoding="ascii")
    monkeypatch.setattr(memory, "_STATUS", status)
    assert memory.peak_mb() == pytest.approx(2.048)
    assert memory.resident_mb() == pytest.approx(1.024)
