"""Other models than DenseNet-121 through every engine: what was built, reloaded and seen to run, and what was not.

    python benchmarks/models.py --models resnet18,vgg11_bn,densenet161 --image-size 32

Random weights for ten classes, one round at one batch size: whether it works is asked, not how fast it is. Exits 1
if a row failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import densebench
from densebench.machine.cpus import placement
from densebench.results.observation import Status
from densebench.results.record import Row

RECIPES = (
    "channels_last",
    "jit",
    "compile",
    "aot_inductor",
    "inductor_int8",
    "onnx",
    "onnx_int8",
    "openvino",
    "openvino_bf16",
    "openvino_int8",
    "tensorrt",
)
DIGITS = 10  # classes of the images that INT8 is calibrated on
MODELS = ("resnet18", "vgg11_bn", "densenet161")


def sweep(model: str, recipes: list[str], size: int, threads: int, folder: Path) -> list[Row]:
    """One round of each recipe on one model."""
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = folder / f"{model}.safetensors"
    save_file(torchvision.models.get_model(model, num_classes=DIGITS).state_dict(), weights)
    suite = folder / "suite.toml"
    suite.write_text("sample-time = 0.1\nceilings = false\nrepeats = 0\n", encoding="utf-8")
    return densebench.run(
        suite,
        model=model,
        weights=str(weights),
        data="digits",
        image_size=size,
        batch_sizes=[2],
        focus_batch_sizes=[],
        rounds=1,
        recipes=recipes,
        threads=threads,
        device="cpu",
        cell_timeout=600,
        output_dir=folder / model,
        log_dir=folder / model / "logs",
    )


def main() -> None:
    """Go through the models and print one line for each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=placement().threads)
    given = parser.parse_args()
    table = Table(title=f"{given.image_size} pixels, batch 2", title_justify="left")
    for column in ("model", "recipe", "status", "SQNR, dB", "what was seen, or why not"):
        table.add_column(column)
    failed = False
    with tempfile.TemporaryDirectory(prefix="densebench-models-") as folder:
        for model in given.models.split(","):
            rows = sweep(model, given.recipes.split(","), given.image_size, given.threads, Path(folder))
            for row in rows:
                failed |= row.status in (Status.FAILED, Status.TIMED_OUT)
                near = "" if row.output_sqnr_db is None else f"{row.output_sqnr_db:.1f}"
                table.add_row(model, row.recipe, row.status, near, row.effect_text or row.reason)
            table.add_section()
    Console().print(table)
    sys.exit(failed)


if __name__ == "__main__":
    main()
