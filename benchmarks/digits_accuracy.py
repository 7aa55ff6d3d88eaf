"""Top-1 accuracy of the embedded digits checkpoints on the 1,000 digits that they never saw.

    python benchmarks/digits_accuracy.py [SIZE ...]

Prints one line per image size (pixels; 32, 64 and 224 by default) and ends with exit code 1 where one is
below what is promised. Float32 and eager, as the baseline runs; about a minute on two cores.
"""

from __future__ import annotations

import sys
import time

import torch

from densebench.workloads import WorkloadRequest, open_workload

PROMISED = {32: 0.97, 64: 0.98, 224: 0.98}


def measure(image_size: int) -> float:
    """Top-1 accuracy (0..1) of the checkpoint that a run at this size (pixels) would use."""
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=image_size))
    validation = workload.data.validation
    assert validation is not None
    model = workload.build_model()
    right = 0
    with torch.inference_mode():
        for images, labels in validation.batches(50):
            right += int((model(images).argmax(1) == labels).sum())
    return right / len(validation)


def main() -> int:
    """Measure, print, compare with what is promised."""
    below = 0
    for size in [int(argument) for argument in sys.argv[1:]] or list(PROMISED):
        started = time.monotonic()
        found, promised = measure(size), PROMISED.get(size, 0.0)
        below += found < promised
        verdict = f"promised {promised:.0%}" if promised else "nothing promised"
        print(
            f"{size:>4} pixels: top-1 {found:.1%} ({verdict}), {time.monotonic() - started:.0f} s", flush=True
        )
    return 1 if below else 0


if __name__ == "__main__":
    raise SystemExit(main())
