"""Records, rows and headers made by hand, for the tests of sinks and report."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from densebench.measure.process import OF_THE_FIRST
from densebench.processes import messages
from densebench.results.derive import derive
from densebench.results.header import Header, Identity
from densebench.results.observation import Pair, ProcessSamples, Status
from densebench.results.record import Record, Row, TimedProcess
from densebench.spec import BASELINE

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
IDENTITY = {name: FACTS[name] for name in Identity.model_fields} | {"weights_sha256": "ab" * 32}


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


def record(
    *,
    samples_ms: Sequence[Sequence[float]] = (),
    rounds: Sequence[int] | None = None,
    pairs: Sequence[Sequence[tuple[Sequence[float], Sequence[float]]]] = (),
    page_faults: Sequence[float | None] = (),
    streams: int = 1,
    **changes: Any,
) -> Record:
    """A record of the baseline at batch 1, with some fields changed.

    Args:
        samples_ms: single calls of each process without pairs.
        pairs: of each process with pairs, the own and the reference calls of each pair.
        rounds: of each process; each has one of its own if not given.
        page_faults: of a call of each process.
        streams: batches that are answered at once.
        **changes: other fields.

    """
    processes = [
        *(ProcessSamples(samples_ms=tuple(own)) for own in samples_ms),
        *(
            ProcessSamples(pairs=tuple(Pair(own_ms=tuple(own), reference_ms=tuple(ref)) for own, ref in each))
            for each in pairs
        ),
    ]
    faults = page_faults or [None] * len(processes)
    numbers = range(len(processes)) if rounds is None else rounds
    timed_processes = tuple(
        TimedProcess(round=number, samples=one.model_copy(update={"page_faults": fault, "streams": streams}))
        for number, one, fault in zip(numbers, processes, faults, strict=True)
    )
    return Record.model_validate(FACTS | {"timed_processes": timed_processes} | changes)


def samples(samples_ms: tuple[float, ...] = (), **changes: Any) -> ProcessSamples:
    """What a measuring process says of one batch size."""
    facts: dict[str, Any] = {
        "samples_ms": samples_ms,
        "load_s": 0.1,
        "first_inference_s": 0.2,
        "host_memory_floor_mb": 400.0,
        "host_memory_peak_mb": 500.0,
    }
    return ProcessSamples(**(facts | changes))


def in_one_process(found: Mapping[int, ProcessSamples]) -> dict[int, ProcessSamples]:
    """What a process answers: figures of a process that has done nothing else are those of its first batch size."""
    blank = dict.fromkeys(OF_THE_FIRST)
    first = next(iter(found))
    return {size: one if size == first else one.model_copy(update=blank) for size, one in found.items()}


def timed(recipe: str, batch_size: int, throughput: float, **changes: Any) -> Record:
    """A record whose 60 samples amount to `throughput` images a second."""
    calls = ((1000 * batch_size / throughput,) * 60,)
    return record(recipe=recipe, batch_size=batch_size, samples_ms=calls, **changes)


def rounded(
    recipe: str, batch_size: int, throughput: float, scatter: float = 0.002, rounds: int = 3, **changes: Any
) -> Record:
    """A record with a process in each round, two of the baseline's, that amount to `throughput` images a second.

    The processes are off by a part of the scatter, the same ones for a recipe and batch size each time.
    """
    processes = rounds * (2 if recipe == BASELINE else 1)
    draw = random.Random(f"{recipe} {batch_size} {rounds}")
    ways = [draw.gauss(0, scatter) for _ in range(processes)]
    ms = [1000 * batch_size / throughput * math.exp(way - fmean(ways)) for way in ways]
    facts: dict[str, Any] = {
        "samples_ms": tuple((one,) * 20 for one in ms),
        "rounds": tuple(place * rounds // processes for place in range(processes)),
    }
    return record(recipe=recipe, batch_size=batch_size, **(facts | changes))


def confirmed(rows: Iterable[Row]) -> tuple[Record, ...]:
    """The confirmation's records of these rows: six fresh rounds, which came out as the rows did."""
    return tuple(
        rounded(
            row.recipe,
            row.batch_size,
            row.throughput_samples_per_s,
            rounds=6,
            stage="confirmation",
            environment_id=row.environment_id,
        )
        for row in rows
        if row.throughput_samples_per_s
    )


def rows_of(
    speeds: Mapping[str, Mapping[int, float]],
    of: Callable[..., Record] = timed,
    **facts: Mapping[str, Any],
) -> list[Row]:
    """Rows from {recipe: {batch size: images a second}}, with more facts by field and recipe.

    They are of a single process each, or of what else makes records.
    """
    return derive(
        of(recipe, size, speed, **{name: by[recipe] for name, by in facts.items() if recipe in by})
        for recipe, by_size in speeds.items()
        for size, speed in by_size.items()
    )


def broken(recipe: str, sizes: Iterable[int], status: Status, reason: str) -> list[Row]:
    """Rows of a recipe that did not run."""
    return derive(record(recipe=recipe, batch_size=size, status=status, reason=reason) for size in sizes)


def header(**changes: Any) -> Header:
    """A run's header."""
    facts: dict[str, Any] = {
        "identity": IDENTITY,
        "spec": {"max_accuracy_drop": 1.0},
        "environment": {"cpu": "Some CPU @ 2 GHz", "torch": "2.14.1"},
        "command": "densebench run --quick",
        "started_at": "2026-01-02T03:04:05+00:00",
    }
    return Header(**(facts | changes))


def described(**changes: Any) -> messages.Described:
    """What a child says of a workload: random weights, no labelled images, 10 ms an image."""
    facts: dict[str, Any] = {
        "workload": messages.WorkloadJob(
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
    return messages.Described(**(facts | changes))
