"""Files as the kernel keeps them, in a folder of the test's."""

from __future__ import annotations

from pathlib import Path

import pytest

from densebench import machine
from densebench.measure import counters, hazards

JIFFIES = round(1 / counters.JIFFY_S)  # in a second


class Kernel:
    """A machine whose counters the test moves; at first none of its files is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: object) -> None:
        """Put a file, by its path below the folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="ascii")

    def cpus(self, *lines: tuple[int, float, float]) -> None:
        """Number, busy and stolen seconds of each CPU, as /proc/stat has them."""
        rows = ["cpu  9 9 9 9 9 9 9 9 0 0"]
        rows += [
            f"cpu{number} {busy * JIFFIES:.0f} 0 0 777777 55 0 0 {stolen * JIFFIES:.0f} 0 0"
            for number, busy, stolen in lines
        ]
        self.write("stat", "\n".join([*rows, "intr 5 5 5"]))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The files that every reading comes from."""
    for name, path in {"STAT": "stat", "VMSTAT": "vmstat", "CPUS": "cpu"}.items():
        monkeypatch.setattr(counters, name, tmp_path / path)
    for name, path in {"OWN_CGROUP": "cgroup", "CGROUPS": "fs"}.items():
        monkeypatch.setattr(machine, name, tmp_path / path)
    monkeypatch.setattr(hazards, "CPUS", tmp_path / "cpu")
    monkeypatch.setattr(hazards, "HUGE_PAGES", tmp_path / "huge_pages")
    return Kernel(tmp_path)
