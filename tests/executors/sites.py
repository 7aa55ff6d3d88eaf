"""A site whose children answer at once, and what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from densebench.errors import CellFailed, DensebenchError
from densebench.executors.site import Site
from densebench.machine.cpus import placement
from densebench.processes import messages
from densebench.recipes.parse import plan
from densebench.results.observation import ProcessSamples
from densebench.spec import RunSpec
from tests.factory import described, in_one_process, samples
from tests.reliability.fork_servers import InstantForkServers

NAMED = {"a": "channels_last", "b": "jit"}
Answer = Callable[[str, int], ProcessSamples]  # of a recipe at a batch size; it raises what a child would say


def steady(recipe: str, size: int) -> ProcessSamples:
    """Every call takes 10 ms."""
    return samples((10.0, 10.0))


class Children(InstantForkServers):
    """Notes who was asked for, and answers as told, batch size by batch size."""

    def __init__(self, answer: Answer = steady) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.jobs: list[messages.Job] = []
        self.renewed: list[int] = []  # after so many processes
        self.references: list[int] = []  # batch sizes of the reference processes that are alive
        self.no_reference: DensebenchError | None = None
        self.variables: dict[str, str] = {}  # of the process that comes next
        self.started: list[dict[str, str]] = []

    def of(self, variables: Any) -> Children:
        self.variables = dict(variables)
        return self

    def renew(self) -> None:
        assert not self.references, "no process of a round that is over is alive"
        self.renewed.append(len(self.asked))

    @contextmanager
    def reference(self, job: messages.Reference, timeout_s: float) -> Iterator[None]:
        if self.no_reference:
            raise self.no_reference
        self.references.append(job.batch_size)
        yield
        self.references.remove(job.batch_size)

    def run(self, job: messages.Job, *arguments: Any) -> Any:
        self.jobs.append(job)
        if not isinstance(job, messages.Measure):
            return super().run(job, *arguments)
        self.started.append(self.variables)
        self.asked.append((job.folder.name, job.batch_sizes))
        found: dict[int, ProcessSamples] = {}
        for size in job.batch_sizes:
            try:
                found[size] = self.answer(job.folder.name, size)
            except DensebenchError as error:
                if not found:
                    raise
                return messages.Measured(samples=in_one_process(found), ended=messages.problem_of(error))
        return messages.Measured(samples=in_one_process(found), traced=dict.fromkeys(job.traces, ""))


class Said:
    """What a person is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, what: str, stage: str) -> None:
        """Nobody looks."""

    def detail(self, recipe: str, stage: str, words: str) -> None:
        """Nobody looks."""

    def note(self, text: str) -> None:
        self.notes.append(text)


def site_of(folder: Path, children: Children | None = None, **flags: Any) -> Site:
    """A site for the baseline, `a` and `b`."""
    given: Mapping[str, Any] = {"recipes": ["a", "b"], "named": NAMED, "batch_sizes": [4], "deploy_time": 0}
    spec = RunSpec.create(**{**given, "output_dir": folder / "out", **flags})
    return Site(
        spec=spec,
        recipes={recipe.name: recipe for recipe in plan(spec.recipes, spec.named)},
        placement=placement(1),
        pool=children or Children(),  # type: ignore[arg-type]
        workload=described(validation_images=100),
        timing_file=folder / "timing.safetensors",
        survey=messages.Surveyed(),
        say=Said(),
    )


def breaking(which: str, at: int, error: DensebenchError | None = None) -> Answer:
    """One recipe breaks at one batch size."""

    def answer(recipe: str, size: int) -> ProcessSamples:
        if (recipe, size) == (which, at):
            raise error or CellFailed("ended by SIGKILL")
        return steady(recipe, size)

    return answer
