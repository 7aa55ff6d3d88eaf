"""What structured pruning costs in accuracy, over seeds: one lucky run shows nothing.

    python benchmarks/pruning_accuracy.py [--size 32] [--seeds 6] [--first-seed 0] [--threads 1] [--steps 1]

Prints one line for each seed of the fine-tuning, with the digits checkpoint for this image size (pixels) and the
technique's own options but for `--steps` and `--ratio`, then the least, the median and the most that was lost. The
bound is the most top-1 that may be lost with 95 % confidence, as a sweep holds it against `--max-accuracy-drop`. Ends
with exit code 1 where less than half of the multiplications went, or the bound is above one percentage point in more
than one seed of six.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn

from densebench.model.inspection import observe
from densebench.stats.proportion import discordant, drop_at_most
from densebench.techniques.structured_pruning import RATIO, STEPS, structured_pruning
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.base import ImageSet

LEAST_REMOVED, MOST_LOST_PP, MOST_ABOVE = 0.5, 1.0, 1 / 6


def correct(model: nn.Module, images: ImageSet) -> str:
    """Image by image, 1 where the answer is right."""
    with torch.inference_mode():
        right = [(model(batch).argmax(1) == labels) for batch, labels in images.batches(50)]
    return "".join(str(int(one)) for one in torch.cat(right))


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
    parser.add_argument("--ratio", type=float, default=RATIO, help="share of the channels to remove")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=given.size))
    validation = workload.data.validation
    assert validation is not None
    original = workload.build_model()
    before, whole = correct(original, validation), macs(original, given.size)
    removed = 0.0
    lost_pp: list[float] = []
    bounds_pp: list[float] = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        started, worked = time.monotonic(), time.process_time()
        changed = structured_pruning(
            original,
            workload,
            ratio=given.ratio,
            steps=given.steps,
            seed=seed,
            progress=lambda said: None,
        )
        wall_s, cpu_s = time.monotonic() - started, time.process_time() - worked
        after, removed = correct(changed, validation), 1 - macs(changed, given.size) / whole
        lost, won = discordant(before, after)
        lost_pp.append(100 * (lost - won) / len(before))
        bounds_pp.append(100 * drop_at_most(lost, won, len(before)))
        print(
            f"{given.size} pixels, {given.threads} threads, {given.steps} steps, seed {seed}: "
            f"{removed:.1%} of the MACs removed, "
            f"{lost} images lost and {won} won, at most {bounds_pp[-1]:.2f} points lost, {wall_s:.0f} s "
            f"({cpu_s:.0f} s of CPU)",
            flush=True,
        )
    least, median, most = min(lost_pp), statistics.median(lost_pp), max(lost_pp)
    print(f"lost over {given.seeds} seeds: least {least:.1f}, median {median:.1f}, most {most:.1f} points")
    above = sum(bound > MOST_LOST_PP for bound in bounds_pp)
    print(f"more than {MOST_LOST_PP:g} point may be lost in {above} of {given.seeds} seeds")
    return 0 if removed >= LEAST_REMOVED and above <= MOST_ABOVE * given.seeds else 1


if __name__ == "__main__":
    raise SystemExit(main())
