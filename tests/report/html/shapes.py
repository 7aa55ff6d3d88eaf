"""Runs of many shapes, as rows with a header, for the tests of the page."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from densebench.results.ceilings import Ceiling, Ceilings
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.results.record import Record, Row
from densebench.schema import Caveat, Effect
from tests.factory import broken, record, rows_of, timed
from tests.viewer.making import layers, log_folder, network

EVIL = "<script>alert(1)</script>"


def measured(recipe: str, batch_size: int, throughput: float, noise: random.Random, **changes: Any) -> Record:
    """A record with everything that a measurement on a CPU fills in."""
    ms = 1000 * batch_size / throughput
    samples = tuple(tuple(ms * (1 + abs(noise.gauss(0, 0.05))) for _ in range(12)) for _ in range(5))
    answers = random.Random(1)  # the same images are hard for every recipe, but for two in a hundred
    correct = "".join(str(int((answers.random() < 0.95) ^ (noise.random() < 0.002))) for _ in range(500))
    facts = {
        "samples_ms": samples,
        "accuracy_top1": correct.count("1") / 5,
        "correct_top1": correct,
        "top1_agreement": None if recipe == "baseline" else 0.99,
        "output_sqnr_db": None if recipe == "baseline" else 40.0,
        "model_size_mb": 28.3,
        "host_memory_floor_mb": 400.0,
        "host_memory_peak_mb": 500.0 + batch_size,
        "build_s": 1.0 if recipe == "baseline" else 20.0,
        "load_s": 0.2,
        "first_inference_s": 0.3,
        "effect": Effect(seen=("int8 convolutions 119/120",)),
    }
    return record(recipe=recipe, batch_size=batch_size, **(facts | changes))


def sweep_of(recipes: Sequence[str], sizes: Sequence[int], **changes: Any) -> list[Row]:
    """Every recipe at every batch size; the later a recipe, the faster."""
    noise = random.Random(0)
    return derive(
        measured(recipe, size, (20 + 10 * index) * (2 - 1 / size), noise, **changes)
        for index, recipe in enumerate(recipes)
        for size in sizes
    )


BARE = dict.fromkeys(
    ["throughput_ci_low", "throughput_ci_high", "speedup_ci_low", "speedup_ci_high", "verdict"]
)


def with_intervals(rows: Sequence[Row]) -> list[Row]:
    """The same with an interval of 5 % to each side around every throughput; none for the last."""
    return [
        row.model_copy(
            update={
                "throughput_ci_low": 0.95 * (row.throughput_samples_per_s or 0),
                "throughput_ci_high": 1.05 * (row.throughput_samples_per_s or 0),
            }
        )
        for row in rows[:-1]
    ] + [row.model_copy(update=BARE) for row in rows[-1:]]


CEILINGS = Ceilings(
    device="cpu",
    threads=2,
    compute={
        "float32": Ceiling(gop_per_s=400, engine="one"),
        "int8": Ceiling(gop_per_s=1600, engine="<b>other"),
    },
    memory_gb_per_s=40,
)
COUNTED = {"macs_g": 2.0, "parameters": 30_000_000, "activations": 50_000_000, "roofline_fraction": 0.3}


def everything() -> list[Row]:
    """Rows of which all was measured: counts, shares of ceilings, traces, GPU memory; one build costs nothing."""
    rows = sweep_of(
        ["baseline", "a", "b"], [1, 8, 32], vram_driver_peak_mb=300.0, energy_j_per_image=1.2, **COUNTED
    )
    return with_intervals(
        [
            row.model_copy(
                update={
                    "precision": "int8" if row.recipe == "b" else "float32",
                    "traces": (f"profile/{row.recipe}/bs{row.batch_size}.pt.trace.json",),
                    "break_even_images": 0 if row.recipe == "b" else row.break_even_images,
                }
            )
            for row in rows
        ]
    )


def logs(folder: Path) -> Path:
    """A log folder with the traces of `everything` at batch 8."""
    return log_folder(folder, {"baseline": network(), "a": network(norm_us=0), "b": layers()})


USUAL = with_intervals(sweep_of(["baseline", "a", "b", "c+d"], [1, 8, 32])) + broken(
    "missing", [1, 8, 32], Status.SKIPPED, "its library is not installed"
)
FORTY = ["baseline", *(f"technique_number_{i}+engine:precision=int{i}" for i in range(39))]


@cache
def thousand() -> list[Row]:
    """40 recipes at 25 batch sizes."""
    return sweep_of(FORTY, [*range(1, 26)])


SHAPES: dict[str, list[Row]] = {
    "usual": USUAL,
    "everything": everything(),
    "no rows": [],
    "a single row": rows_of({"x": {4: 12}}),
    "only failures": broken("baseline", [1], Status.FAILED, "boom")
    + broken("x", [1, 8], Status.TIMED_OUT, ""),
    "no accuracy": rows_of({"baseline": {8: 30}, "x": {8: 90}}),
    "one batch size": sweep_of(["baseline", "a", "b"], [8]),
    "a GPU and a ceiling": sweep_of(
        ["baseline", "a"],
        [1, 8],
        device="cuda",
        vram_peak_mb=200.0,
        vram_driver_peak_mb=300.0,
        roofline_fraction=0.4,
        energy_j_per_image=1.2,
    ),
    "40 recipes": sweep_of(FORTY, [1, 8]),
    "two machines": derive(
        [
            timed("baseline", 8, 30),
            timed("baseline", 8, 60, environment_id="feedbeef"),
            timed("x", 8, 90, environment_id="feedbeef"),
        ]
    ),
    "a script in the names": sweep_of(
        ["baseline", EVIL, f"@3 %{{x}} $x$ &lt; </script>{EVIL}\n<img src=x onerror=alert(2)>"],
        [1, 8],
        effect=Effect(seen=(EVIL,)),
        caveats=(Caveat(text=EVIL),),
        weights=EVIL,
        model=EVIL,
    )
    + broken(f"{EVIL} too", [8], Status.SKIPPED, EVIL),
}
