"""Records, rows and headers made by hand, for the tests of sinks and report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from densebench import jobs
from densebench.record import Record, Row, Status
from densebench.rows import derive
from densebench.sinks.journal import Header
from densebench.timing import OF_THE_FIRST

FACTS: dict[str, Any] = {
    "model": "densenet121",
    "recipe": "baseline",
    "steps": "eager",
    "batch_size": 1,
    "device": "cpu",
    "status": Status.OK,
    "image_size": 224,
    "weights": "digits",
    "data": "digits",
    "threads": 2,
    "seed": 0,
    "environment_id": "0badcafe",
    "started_at": "2026-01-02T03:04:05+00:00",
}


def input_of(height: int, width: int) -> dict[str, Any]:
    """What a manifest says of its input: any number of colour images of this size."""
    return {
        "shape": (None, 3, height, width),
        "resize": 16,
        "crop": 16,
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
    }


def record(**changes: Any) -> Record:
    """A record of the baseline at batch 1, with some fields changed."""
    return Record.model_validate(FACTS | changes)


def block(samples_ms: tuple[float, ...], **changes: Any) -> jobs.Block:
    """What a measuring child answers at one batch size."""
    facts: dict[str, Any] = {
        "samples_ms": samples_ms,
        "load_s": 0.1,
        "first_inference_s": 0.2,
        "host_memory_floor_mb": 400.0,
        "host_memory_peak_mb": 500.0,
        "vram_peak_mb": None,
        "vram_driver_peak_mb": None,
    }
    return jobs.Block(**(facts | changes))


def in_one_process(blocks: Mapping[int, jobs.Block]) -> dict[int, jobs.Block]:
    """What a process answers: figures of a process that has done nothing else are those of its first block."""
    blank = dict.fromkeys(OF_THE_FIRST)
    first = next(iter(blocks))
    return {size: one if size == first else one.model_copy(update=blank) for size, one in blocks.items()}


def timed(recipe: str, batch_size: int, throughput: float, **changes: Any) -> Record:
    """A record whose 60 samples amount to `throughput` images a second."""
    samples = ((1000 * batch_size / throughput,) * 60,)
    return record(recipe=recipe, batch_size=batch_size, samples_ms=samples, **changes)


def rows_of(speeds: Mapping[str, Mapping[int, float]], **facts: Mapping[str, Any]) -> list[Row]:
    """Rows from {recipe: {batch size: images a second}}, with more facts by field and recipe."""
    return derive(
        timed(recipe, size, speed, **{name: by[recipe] for name, by in facts.items() if recipe in by})
        for recipe, by_size in speeds.items()
        for size, speed in by_size.items()
    )


def broken(recipe: str, sizes: Iterable[int], status: Status, reason: str) -> list[Row]:
    """Rows of a recipe that did not run."""
    return derive(record(recipe=recipe, batch_size=size, status=status, reason=reason) for size in sizes)


def header(**changes: Any) -> Header:
    """A run's header."""
    facts: dict[str, Any] = {
        "identity": {"weights_sha256": "ab" * 32, "threads": 2, "device": "cpu"},
        "spec": {"max_accuracy_drop": 1.0},
        "environment": {"cpu": "Some CPU @ 2 GHz", "torch": "2.14.1"},
        "command": "densebench run --quick",
        "started_at": "2026-01-02T03:04:05+00:00",
    }
    return Header(**(facts | changes))


def described(**changes: Any) -> jobs.Described:
    """What a child says of a workload: random weights, no labelled images, 10 ms an image."""
    facts: dict[str, Any] = {
        "workload": jobs.WorkloadJob(
            model="densenet121", weights="random", data="none", image_size=32, seed=0
        ),
        "device": "cpu",
        "weights": "random",
        "data": "none",
        "weights_sha256": "0" * 64,
        "parameters": 1_000,
        "validation_images": 0,
        "batch1_ms": 10.0,
        "notes": (),
    }
    return jobs.Described(**(facts | changes))
