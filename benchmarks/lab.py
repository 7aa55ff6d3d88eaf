"""What the benchmarks of precision share: artifacts whose work is known, compared in the suite's own rounds."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from densebench.executors.local import LocalExecutor
from densebench.executors.site import Clock, Site
from densebench.machine.cpus import placement
from densebench.measure.device import Cpu
from densebench.planners.sweep import Request, next_task, rows
from densebench.planners.tasks import Round, Task
from densebench.processes import messages
from densebench.processes.environment import plain_environment
from densebench.processes.pool import ForkServerPool
from densebench.recipes.parse import resolve
from densebench.recipes.recipe import Recipe
from densebench.results.observation import BuildObservation, Evaluated, EvaluateObservation, Observation
from densebench.results.record import Row
from densebench.sinks.progress import Progress
from densebench.spec import BASELINE, RunSpec
from densebench.worker.build import build_artifact
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.base import Preprocessing, Splits, Weights, Workload

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYERS, CHANNELS, PIXELS, CLASSES = 100, 64, 28, 10
DENSENET_PIXELS = 224
WORK = "stack"
CALLS = 10  # whose shortest says how long a call takes


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


def stack_workload(layers: int = LAYERS) -> Workload:
    """A stack of so many layers, and noise."""
    import torch

    look = Preprocessing(PIXELS, PIXELS, (0.5,) * 3, (0.5,) * 3)
    classes = tuple(map(str, range(CLASSES)))
    model = stack(layers)
    weights = Weights(WORK, model.state_dict(), classes, look, hashlib.sha256(b"stack").hexdigest())
    images = Splits("none", None, None, lambda size: torch.randn(size, 3, PIXELS, PIXELS))
    return Workload(WORK, PIXELS, weights, images, lambda: model)


def densenet_workload() -> Workload:
    """DenseNet-121 with random weights, which take as long as any others."""
    return open_workload(WorkloadRequest(weights="random", data="none", image_size=DENSENET_PIXELS))


@dataclass
class Lab:
    """Artifacts in one folder, and the means to compare them again and again."""

    site: Site

    def build(self, name: str, workload: Workload) -> None:
        """Save a recipe's artifact of this workload, if it isn't there yet."""
        folder = self.site.folder(name)
        if (folder / "manifest.json").exists():
            return
        job = messages.Build(
            workload=self.site.workload.workload,
            recipe=name,
            named=self.site.spec.named,
            device="cpu",
            batch_sizes=tuple(self.site.spec.batch_sizes),
            folder=folder,
            threads=self.site.threads,
        )
        build_artifact(job, self.site.recipes[name], workload, lambda stage: None)

    def compare(self, *names: str, size: int, seed: int = 0, **changes: object) -> list[Row]:
        """Time recipes against the baseline in fresh rounds at a batch size, as a sweep does; their rows.

        Args:
            *names: of recipes.
            size: the batch size, which is a focus batch size.
            seed: of the order of processes.
            **changes: of other fields of the spec.

        """
        sizes = {"batch_sizes": (size,), "focus_batch_sizes": (size,)}
        spec = self.site.spec.model_copy(update={"seed": seed, **sizes, **changes})
        site = replace(self.site, spec=spec, unpaired=set())
        recipes = [site.recipes[name] for name in (BASELINE, *names)]
        request = Request(spec, recipes, "cpu", self._identity(seed))
        observations: list[Observation] = []
        for recipe in recipes:
            observations += self._made(recipe)
        executor = LocalExecutor(site)
        while (task := next_task(request, observations)) is not None:
            observations += executor.run(_untraced(task))
        return [row for row in rows(request, observations) if row.recipe in names]

    def _identity(self, seed: int) -> dict[str, str | int]:
        workload = self.site.workload
        return {
            "model": workload.workload.model,
            "weights": workload.weights,
            "data": workload.data,
            "image_size": workload.workload.image_size,
            "device": workload.device,
            "threads": self.site.threads,
            "seed": seed,
            "environment_id": "lab",
        }

    def _made(self, recipe: Recipe) -> tuple[BuildObservation, EvaluateObservation]:
        """What the planner is to know of an artifact that is there: nothing but rounds is left to do."""
        began = str(Clock().facts()["started_at"])
        found = Evaluated(artifact=recipe.name, threads=self.site.threads, cold_start_s=0.0)
        return (
            BuildObservation(recipe=recipe.name, steps=recipe.line, any_batch=True, started_at=began),
            EvaluateObservation(recipe=recipe.name, found=found, started_at=began),
        )

    def throughput(self, name: str, size: int, seconds: float) -> float:
        """Images a second of one fresh process that is timed for so long."""
        job = messages.Measure(
            folder=self.site.folder(name),
            device="cpu",
            batch_sizes=(size,),
            timing_file=self.site.timing_file,
            sample_seconds=seconds,
            timeout_s=self.site.spec.cell_timeout,
            slow_reason="",
            threads=self.site.threads,
            trust=False,
        )
        measured = self.site.pool.plain.run(job, messages.Measured, self.site.spec.cell_timeout)
        calls_ms = measured.samples[size].samples_ms
        return 1000 * size * len(calls_ms) / sum(calls_ms)


def _untraced(task: Task) -> Task:
    """Traces have no place in a comparison."""
    if not isinstance(task, Round):
        return task
    return replace(task, processes=tuple(replace(one, traced=()) for one in task.processes))


@contextmanager
def lab(
    folder: Path, named: Mapping[str, str], threads: int, workload: Workload, **flags: Any
) -> Iterator[Lab]:
    """A laboratory whose artifacts stay in `folder`.

    Args:
        folder: for artifacts; what is there already isn't built again.
        named: recipe name -> one-line form; `baseline` is what the others are compared with.
        threads: of every process.
        workload: whose images are timed, and whose calls say how many pairs a process has.
        **flags: of the spec: batch sizes, rounds.

    """
    spec = RunSpec.create(
        **{"recipes": [*named], "confirmation_rounds": 0, **flags},
        named=dict(named),
        image_size=max(32, workload.image_size),  # a stack's are smaller than a spec allows
        output_dir=folder,
        log_dir=folder / "logs",
        threads=threads,
    )
    with tempfile.TemporaryDirectory(prefix="densebench-lab-") as scratch:
        timing_file = Path(scratch) / "timing.safetensors"
        described = _describe(workload, spec.batch_sizes, timing_file, threads)
        variables = plain_environment(threads) | {"TMPDIR": scratch}
        with ForkServerPool(variables, Path(scratch) / "run.log") as pool:
            yield Lab(
                Site(
                    spec=spec,
                    recipes={name: resolve(name, spec.named) for name in named},
                    placement=placement(threads),
                    pool=pool,
                    workload=described,
                    timing_file=timing_file,
                    survey=messages.Surveyed(),
                    say=Progress(Console(file=StringIO())),
                )
            )


def _describe(
    workload: Workload, sizes: Sequence[int], timing_file: Path, threads: int
) -> messages.Described:
    """What a sweep finds out of its workload before it begins; the images are saved where children find them."""
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(threads)
    save_file({"images": workload.data.timing(max(sizes))}, timing_file)
    reference, image = workload.reference(), workload.data.timing(1)
    with torch.inference_mode():
        batch1_ms = min(Cpu().time_ms(lambda: reference.run(image)) for _ in range(CALLS))
    job = messages.WorkloadJob(
        model=workload.model_name, weights="random", data="none", image_size=workload.image_size, seed=0
    )
    return messages.Described(
        workload=job,
        device="cpu",
        weights="random",
        data="none",
        weights_sha256=workload.weights.sha256,
        parameters=reference.parameters,
        validation_images=0,
        batch1_ms=batch1_ms,
        notes=(),
    )
