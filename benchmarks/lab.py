"""What the benchmarks of precision share: artifacts whose work is known, compared in the suite's own rounds."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from densebench import jobs
from densebench.building import build_artifact
from densebench.cells import BASELINE_BLOCKS, Sweep, now
from densebench.isolation import plain_environment
from densebench.measure.cores import full_speed_us
from densebench.nurseries import Nurseries
from densebench.recipe import Recipe, resolve
from densebench.record import Record, Row
from densebench.rounds import time_cells
from densebench.rows import derive
from densebench.sinks import journal
from densebench.sinks.console import Progress
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec
from densebench.workloads.base import Preprocessing, Splits, Weights, Workload

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYERS, CHANNELS, PIXELS, CLASSES = 100, 64, 28, 10
WORK = "stack"


def stack(layers: int) -> nn.Module:
    """So many equal convolutions, 28.9 million multiplications each: its work is their number."""
    import torch
    from torch import nn

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, CHANNELS, 1)
            self.rest = nn.Sequential(
                *(
                    nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())
                    for _ in range(layers)
                )
            )
            self.head = nn.Linear(CHANNELS, CLASSES)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(self.rest(self.first(images)).mean(dim=(2, 3)))
            return logits

    torch.manual_seed(0)
    return Stack().eval()


def _workload(layers: int) -> Workload:
    import torch

    look = Preprocessing(PIXELS, PIXELS, (0.5,) * 3, (0.5,) * 3)
    classes = tuple(map(str, range(CLASSES)))
    model = stack(layers)
    weights = Weights(WORK, model.state_dict(), classes, look, hashlib.sha256(b"stack").hexdigest())
    images = Splits("none", None, None, lambda size: torch.randn(size, 3, PIXELS, PIXELS))
    return Workload(WORK, PIXELS, weights, images, lambda: model)


@dataclass
class Lab:
    """Artifacts in one folder, and the means to compare them again and again.

    Attributes:
        named: recipe name -> one-line form; `baseline` is what the others are compared with.

    """

    spec: RunSpec
    threads: int
    nurseries: Nurseries
    described: jobs.Described
    timing_file: Path
    scratch: Path
    named: Mapping[str, str]
    survey: jobs.Surveyed
    runs: int = 0

    def build(self, name: str, layers: int) -> None:
        """Save a stack of so many layers under a recipe's name, if it isn't there yet."""
        recipe = self.recipe(name)
        folder = self.spec.output_dir / "models" / recipe.folder
        if (folder / "manifest.json").exists():
            return
        job = jobs.Build(
            workload=self.described.workload,
            recipe=name,
            named=dict(self.named),
            device="cpu",
            batch_sizes=tuple(self.spec.batch_sizes),
            folder=folder,
            threads=self.threads,
        )
        build_artifact(job, recipe, _workload(layers), lambda stage: None)

    def recipe(self, name: str) -> Recipe:
        """The recipe of this name."""
        return resolve(name, self.named)

    def compare(self, *names: str, seed: int = 0) -> list[Row]:
        """Time recipes against the baseline in fresh rounds and turns, as a sweep does; their rows."""
        return [row for row in derive(self.records(*names, seed=seed)) if row.recipe in names]

    def records(self, *names: str, seed: int = 0, baselines: int = BASELINE_BLOCKS) -> list[Record]:
        """The same as the journal has it, the baseline's records too."""
        self.runs += 1
        folder = self.scratch / f"run{self.runs}"
        recipes = [self.recipe(name) for name in ("baseline", *names)]
        header = journal.Header(identity={}, spec={}, environment={}, command="", started_at=now())
        identity: dict[str, str | int] = {
            "model": WORK,
            "weights": "random",
            "data": "none",
            "image_size": self.spec.image_size,
            "device": "cpu",
            "threads": self.threads,
            "seed": seed,
            "environment_id": "lab",
        }
        sweep = Sweep(
            spec=self.spec.model_copy(update={"seed": seed, "log_dir": folder / "logs"}),
            recipes=recipes,
            threads=self.threads,
            nurseries=self.nurseries,
            survey=self.survey,
            workload=self.described,
            timing_file=self.timing_file,
            identity=identity,
            progress=Progress(Console(file=StringIO())),
            journal=journal.create(folder, header),
            scalars=TensorBoardSink(folder / "logs"),
            records=[],
            baseline_blocks=baselines,
            traces=False,
        )
        facts: dict[str, Any] = {"cold_start_s": 0.0}
        try:
            time_cells(sweep, [(recipe, facts) for recipe in recipes])
        finally:
            sweep.journal.close()
            sweep.scalars.close()
        return sweep.records

    def throughput(self, name: str, size: int, seconds: float) -> float:
        """Images a second of one fresh process that is timed for so long."""
        job = jobs.Measure(
            folder=self.spec.output_dir / "models" / self.recipe(name).folder,
            device="cpu",
            batch_sizes=(size,),
            timing_file=self.timing_file,
            sample_seconds=seconds,
            timeout_s=self.spec.cell_timeout,
            full_speed_us=full_speed_us(self.survey.looks_us),
            slow_reason="",
            threads=self.threads,
            trust=False,
        )
        samples = self.nurseries.plain.run(job, jobs.Measured, self.spec.cell_timeout).blocks[size].samples_ms
        return 1000 * size * len(samples) / sum(samples)


@contextmanager
def lab(folder: Path, named: Mapping[str, str], threads: int, **spec: Any) -> Iterator[Lab]:
    """A laboratory whose artifacts stay in `folder`. No traces are taken: they have no place in a comparison."""
    import torch
    from safetensors.torch import save_file

    sizes: Sequence[int] = spec.pop("batch_sizes", (8,))
    run_spec = RunSpec.create(
        batch_sizes=sizes, image_size=max(32, spec.pop("image_size", PIXELS)), output_dir=folder, **spec
    )
    with tempfile.TemporaryDirectory(prefix="densebench-lab-") as temporary:
        scratch = Path(temporary)
        timing = scratch / "timing.safetensors"
        save_file({"images": torch.randn(max(sizes), 3, PIXELS, PIXELS)}, timing)
        described = jobs.Described(
            workload=jobs.WorkloadJob(model=WORK, weights="random", data="none", image_size=PIXELS, seed=0),
            device="cpu",
            weights="random",
            data="none",
            weights_sha256="0" * 64,
            parameters=0,
            validation_images=0,
            batch1_ms=10.0,
            notes=(),
        )
        variables = plain_environment(threads) | {"TMPDIR": temporary}
        with Nurseries(variables, scratch / "run.log") as nurseries:
            looked = jobs.Survey(device="cpu", threads=threads, environment_id="lab", ceilings=False)
            survey = nurseries.plain.run(looked, jobs.Surveyed, run_spec.cell_timeout)
            survey = survey.model_copy(update={"idle_watts": None})
            yield Lab(run_spec, threads, nurseries, described, timing, scratch, named, survey)
