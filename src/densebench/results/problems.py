"""The rows that are not ok, and the words for how a row ended."""

from __future__ import annotations

from collections.abc import Iterable

from densebench.results.observation import Status
from densebench.results.record import Row

STATUS_WORDS = {
    Status.OK: "ok",
    Status.SKIPPED: "skipped",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "timed out",
}


def problems(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows that are not ok, those of one recipe with the same status and reason together."""
    groups: dict[tuple[str, Status, str], list[Row]] = {}
    for row in rows:
        if row.status is not Status.OK:
            groups.setdefault((row.recipe, row.status, row.reason), []).append(row)
    return list(groups.values())
