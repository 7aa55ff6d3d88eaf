"""What structured pruning costs in accuracy, over seeds: one lucky run shows nothing.

    python benchmarks/pruning_accuracy.py [--size 32] [--seeds 6] [--first-seed 0] [--threads 1] [--steps 1]

Prints one line for each seed of the fine-tuning, with the digits checkpoint for this image size (pixels) and the
technique's own options but for `--steps`, then the least, the median and the most that was lost. Ends with exit
code 1 where less than half of the multiplications went, or more than one percentage point of top-1.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn

from densebench.measure.observe import observe
from densebench.techniques.structured_pruning import STEPS, structured_pruning
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.base import ImageSet

LEAST_REMOVED, MOST_LOST_PP = 0.5, 1.0


def correct(model: nn.Module, images: ImageSet) -> int:
    """Images that are answered right."""
    with torch.inference_mode():
        return sum(int((model(batch).argmax(1) == labels).sum()) for batch, labels in images.batches(50))


def macs(model: nn.Module, size: int) -> int:
    """Multiplications of one image."""
    return observe(model, model, torch.zeros(1, 3, size, size)).macs.total()


def main() -> int:
    """Prune, fine-tune and count, once for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--seeds", type=int, default=6, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS, help="times that channels are removed")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=given.size))
    validation = workload.data.validation
    assert validation is not None
    original = workload.build_model()
    before, whole = correct(original, validation), macs(original, given.size)
    points, removed = 100 / len(validation), 0.0
    lost_pp: list[float] = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        started, worked = time.monotonic(), time.process_time()
        changed = structured_pruning(
            original, workload, steps=given.steps, seed=seed, progress=lambda said: None
        )
        wall_s, cpu_s = time.monotonic() - started, time.process_time() - worked
        after, removed = correct(changed, validation), 1 - macs(changed, given.size) / whole
        lost_pp.append((before - after) * points)
        print(
            f"{given.size} pixels, {given.threads} threads, {given.steps} steps, seed {seed}: "
            f"{removed:.1%} of the MACs removed, "
            f"top-1 {before * points:.1f} % -> {after * points:.1f} %, {wall_s:.0f} s ({cpu_s:.0f} s of CPU)",
            flush=True,
        )
    least, median, most = min(lost_pp), statistics.median(lost_pp), max(lost_pp)
    print(f"lost over {given.seeds} seeds: least {least:.1f}, median {median:.1f}, most {most:.1f} points")
    return 0 if removed >= LEAST_REMOVED and most <= MOST_LOST_PP + 1e-9 else 1


if __name__ == "__main__":
    raise SystemExit(main())
