"""The recommended row's figures beside the baseline's, for the first glance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from densebench.report.sweep import Sweep
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import duration, short

_FIGURES: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (  # column, label, unit, form
    ("throughput_samples_per_s", "throughput", "images/s", short),
    ("latency_p50_ms", "median latency of a batch", "ms", short),
    ("accuracy_top1", "top-1", "%", lambda value: f"{value:.2f}"),
    ("model_size_mb", "size on disk", "MB", short),
    ("deploy_memory_mb", "memory in its own program", "MB", lambda value: f"{value:.0f}"),
    ("vram_driver_peak_mb", "peak GPU memory", "MB", lambda value: f"{value:.0f}"),
    ("build_s", "build", "", duration),
)


@dataclass(frozen=True)
class Tile:
    """A figure with its unit, and the baseline's."""

    label: str
    value: str
    unit: str
    baseline: str


def tiles(sweep: Sweep, chosen: Row | None) -> list[Tile]:
    """What is known of the recommended row, at its batch size."""
    if chosen is None:
        return []
    base = next((row for row in sweep.at(chosen.batch_size) if row.recipe == BASELINE), None)
    decision, told = sweep.decision, []
    confirmed = decision.winner is not None and decision.winner.key == chosen.key
    again = decision.winner_images_per_s if confirmed else None
    for column, label, unit, form in _FIGURES:
        value = getattr(chosen, column)
        other = getattr(base, column) if base is not None and base is not chosen else None
        if column == "throughput_samples_per_s" and again is not None:  # the headline's fresh rounds
            value = again
            same = decision.baseline is not None and base is not None and decision.baseline.key == base.key
            other = decision.baseline_images_per_s if same else None
        if value is not None:
            told.append(Tile(label, form(value), unit, "" if other is None else form(other)))
    return told
