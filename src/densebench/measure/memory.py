"""Resident memory of a process, from Linux's /proc. The kernel keeps the peak, so nothing needs to poll."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the peak resident set size to the current value


def reset_peak() -> bool:
    """Make the peak start from now; False where the kernel doesn't allow it."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def resident_mb() -> float | None:
    """Resident memory now, in MB."""
    return _field("VmRSS", _STATUS)


def peak_mb(process: int | None = None) -> float | None:
    """Highest resident memory since the last reset, in MB: of this process, or of the one with this number."""
    return _field("VmHWM", _STATUS if process is None else Path(f"/proc/{process}/status"))


def page_faults() -> int:
    """Pages that this process has been given so far without reading a disk: fresh memory is cleared, page by page."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _field(name: str, status: Path) -> float | None:
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    value = next((line.split()[1] for line in lines if line.startswith(f"{name}:")), None)
    return int(value) * 1024 / 1e6 if value else None
