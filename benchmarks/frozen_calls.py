"""Where a call of frozen `torch.compile` spends its time, and where one of AOT Inductor does, by PyTorch's profiler.

    python benchmarks/frozen_calls.py results-defaults/frozen/models [--batch-size 1]

Reads the artifacts that `defaults.py --only frozen` leaves. Both are called in turn in one process; prints the median
of unprofiled calls, then the milliseconds of a profiled call by kind of work.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from statistics import median

import torch
from lab import DENSENET_PIXELS
from torch.profiler import ProfilerActivity, profile

from densebench.artifacts.load import Artifact, open_artifact
from densebench.machine.cpus import placement

NAMES = {"aot_inductor": "baseline", "compile:freezing=true": "now-compile_freezing_true"}
CALLS, PROFILED = 200, 20
KINDS = {"convolution": "convolutions", "Dynamo Cache Lookup": "Dynamo's guards"}


def kind_of(event: str) -> str:
    """What an event of the profiler is, in a word."""
    found = (kind for part, kind in KINDS.items() if part in event)
    return next(found, "the rest: other kernels and the code that calls them")


def profiled(artifact: Artifact, images: torch.Tensor) -> Counter[str]:
    """Milliseconds of a call by kind of work."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED):
            artifact(images)
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        spent[kind_of(event.key)] += event.self_cpu_time_total / 1000 / PROFILED
    return spent


def main() -> None:
    """Call both in turn, then profile each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--batch-size", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(placement().threads)
    images = torch.randn(given.batch_size, 3, DENSENET_PIXELS, DENSENET_PIXELS)
    artifacts = {line: open_artifact(given.models / name) for line, name in NAMES.items()}
    took: dict[str, list[float]] = {line: [] for line in artifacts}
    for _ in range(CALLS):
        for line, artifact in artifacts.items():
            began = time.perf_counter()
            artifact(images)
            took[line].append(1000 * (time.perf_counter() - began))
    for line, artifact in artifacts.items():
        spent = profiled(artifact, images)
        parts = ", ".join(f"{kind} {value:.1f} ms" for kind, value in spent.most_common())
        print(f"{line}: median {median(took[line][CALLS // 10 :]):.1f} ms; profiled: {parts}")


if __name__ == "__main__":
    main()
