"""Other classifiers trained on the digits for some minutes, so that their sweeps have accuracies of their own.

    python benchmarks/digit_models.py [--models resnet18,mobilenet_v3_small] [--folder checkpoints]

Writes one checkpoint a model and prints its top-1 on the 1,000 held-out digits at 224 pixels. Then
`densebench run --model resnet18 --weights checkpoints/resnet18.safetensors --data digits` measures it, and
`densebench report A B C` puts the results folders side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from densebench.workloads.schedule import Stage
from densebench.workloads.training import Plan, train

PIXELS = 224
PLAN = Plan((Stage((64,), 64, 120), Stage((128,), 32, 120), Stage((PIXELS,), 16, 160)), 4e-3, {PIXELS: 0.95})


def main() -> int:
    """Train each; exits 1 where one answers worse than the plan promises."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="resnet18,mobilenet_v3_small")
    parser.add_argument("--folder", type=Path, default=Path("checkpoints"))
    given = parser.parse_args()
    below = 0
    for model in given.models.split(","):
        (trained,) = train(given.folder, plans={model: PLAN}, model_name=model)
        print(trained, flush=True)
        below += trained.accuracy[PIXELS] < PLAN.promised[PIXELS]
    return 1 if below else 0


if __name__ == "__main__":
    raise SystemExit(main())
