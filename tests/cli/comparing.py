"""Two runs to compare, made by hand, and the command that compares them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from typer.testing import CliRunner

from densebench.cli import main
from densebench.cli.compare import Pair as Compared
from densebench.cli.compare_runs import Run
from densebench.results.observation import Pair, ProcessSamples
from densebench.results.record import Record, TimedProcess
from tests.factory import header, record
from tests.journals import write

__all__ = ["write"]
Speeds = Mapping[str, Mapping[int, float]]
SPEEDS: Speeds = {"baseline": {1: 20, 8: 30}, "amp": {1: 40, 8: 80}, "jit": {1: 25, 8: 35}}
ROUNDS = 6


def measured(
    speeds: Speeds,
    *,
    seed: int = 0,
    noise: float = 0.005,
    shared: float = 0.05,
    machine: float = 1.0,
    **facts: Any,
) -> list[Record]:
    """Records of six rounds; each round is slowed as a whole by a `shared` factor, each process by `noise`."""
    draw = np.random.default_rng(seed)
    slow = {(size, n): draw.normal(0, shared) for size in (1, 8) for n in range(ROUNDS)}
    found = []
    for recipe, by_size in speeds.items():
        for size, speed in by_size.items():
            rounds = [n for n in range(ROUNDS) for _ in range(2 if recipe == "baseline" else 1)]
            logs = [slow[size, n] + draw.normal(0, noise) for n in rounds]
            samples = tuple((1000 * size / (speed * machine) * math.exp(x),) * 3 for x in logs)
            found.append(record(recipe=recipe, batch_size=size, samples_ms=samples, rounds=rounds, **facts))
    return found


def run_of(records: list[Record], **head: Any) -> Run:
    """A run that is nowhere on the disk."""
    return Run(header(**head), {one.key: one for one in records})


def with_pairs(records: list[Record], *cells: tuple[str, int]) -> list[Record]:
    """The records, with these cells as if measured in pairs with the reference process."""
    return [
        one if one.key not in cells else one.model_copy(update={"timed_processes": _in_pairs(one)})
        for one in records
    ]


def _in_pairs(record: Record) -> tuple[TimedProcess, ...]:
    return tuple(
        TimedProcess(
            round=one.round,
            samples=ProcessSamples(pairs=(Pair(own_ms=one.samples.own_ms, reference_ms=(1.0,) * 3),)),
        )
        for one in record.timed_processes
    )


def slower(recipe: str, factor: float) -> Speeds:
    """`SPEEDS`, with one recipe's speeds times `factor`."""
    return {
        name: {size: speed * (factor if name == recipe else 1) for size, speed in by_size.items()}
        for name, by_size in SPEEDS.items()
    }


def pair_of(pairs: list[Compared], recipe: str, size: int = 1) -> Compared:
    """One row."""
    return next(pair for pair in pairs if (pair.recipe, pair.batch_size) == (recipe, size))


def command(*arguments: object) -> Any:
    """The result of `densebench compare`."""
    return CliRunner().invoke(main.app, ["compare", *map(str, arguments)])
