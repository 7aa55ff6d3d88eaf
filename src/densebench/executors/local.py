"""Carries out tasks on this machine, one child at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from densebench.artifacts.load import read_manifest
from densebench.errors import RefusedArtifact, Unavailable
from densebench.executors.round import RoundRun
from densebench.executors.site import FAULTS, LOG, MODELS, Clock, Site, ended
from densebench.machine.facts import KEEP_FREED_MEMORY
from densebench.measure.deploy import deploy
from densebench.planners.tasks import Build, Evaluate, Round, Task
from densebench.processes import messages
from densebench.processes.environment import plain_environment
from densebench.recipes.recipe import Recipe
from densebench.results.observation import BuildObservation, Evaluated, EvaluateObservation, Observation
from densebench.spec import ACCURACY_BATCH, BASELINE

BUILD_PATIENCE = 10  # a build may take this many times what a cell may
REFERENCE = "reference_outputs.safetensors"
LONG_ACCURACY_S = (
    10.0  # a fork server takes a third of it to start, and pages that are given back half of a call
)
FEW_IMAGES = 4  # of one alone each would take half as long again


class LocalExecutor:
    """Runs tasks in children of this machine's fork servers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rounds = {"sweep": 0, "confirmation": 0}

    def run(self, task: Task) -> Iterator[Observation]:
        """Carry a task out; each observation as it is made."""
        match task:
            case Build():
                yield self._build(task)
            case Evaluate():
                yield self._evaluate(task)
            case Round():
                self._rounds[task.stage] += 1
                name = f"round {self._rounds[task.stage]}"
                yield from RoundRun(
                    self._site, task, name if task.stage == "sweep" else f"confirmation, {name}"
                ).run()

    def lost(self, observations: Sequence[Observation]) -> frozenset[str]:
        """Recipes that were built by a part of the run that is over, and have no whole artifact."""
        found = set()
        for name in {one.recipe for one in observations if isinstance(one, BuildObservation)}:
            try:
                read_manifest(self._site.folder(name), trusted=self._site.spec.trust)
            except RefusedArtifact:
                found.add(name)
        return frozenset(found)

    def close(self) -> None:
        """End whatever runs."""
        self._site.pool.close()

    def _build(self, task: Build) -> BuildObservation:
        recipe, started = self._site.recipes[task.recipe], Clock()
        said: dict[str, object] = {
            "recipe": task.recipe,
            "steps": recipe.line,
            "batch_sizes": task.batch_sizes,
        }
        said["any_batch"] = recipe.engine.what.any_batch
        job = messages.Build(
            workload=self._site.workload.workload,
            recipe=recipe.name,
            named=self._site.spec.named,
            device=self._site.workload.device,
            batch_sizes=task.batch_sizes,
            folder=self._site.folder(task.recipe),
            threads=self._site.threads_of(recipe),
        )
        self._site.say.stage(recipe.name, "build")
        try:
            if reason := recipe.unavailable(self._site.workload.device):
                raise Unavailable(reason)
            limit_s = BUILD_PATIENCE * self._site.spec.cell_timeout
            self._site.pool.plain.run(
                job, messages.BuildDone, limit_s, partial(self._site.say.detail, recipe.name, "build")
            )
        except FAULTS as error:
            said |= ended(error, self._site.spec.cell_timeout)
        return BuildObservation.model_validate(said | started.facts())

    def _evaluate(self, task: Evaluate) -> EvaluateObservation:
        recipe, started = self._site.recipes[task.recipe], Clock()
        spec, device = self._site.spec, self._site.workload.device
        job = messages.Evaluate(
            workload=self._site.workload.workload,
            folder=self._site.folder(task.recipe),
            device=device,
            batch_size=self._accuracy_batch(recipe),
            reference=spec.output_dir / REFERENCE,
            is_reference=recipe.name == BASELINE,
            seconds=spec.accuracy_time,
            images=task.images or spec.images_of(self._site.workload.validation_images),
            may_take_fewer=recipe.name == BASELINE and task.images is None,
            threads=self._site.threads_of(recipe),
            trust=spec.trust,
        )
        self._site.say.stage(recipe.name, "accuracy")
        said: dict[str, object] = {"recipe": recipe.name}
        try:
            server = self._site.pool.of(recipe.environment() or self._untimed())
            quality = server.run(job, messages.Quality, spec.accuracy_time + 2 * spec.cell_timeout)
            said["found"] = self._found(recipe, quality)
        except FAULTS as error:
            said |= ended(error, self._site.spec.cell_timeout)
        return EvaluateObservation.model_validate(said | started.facts())

    def _found(self, recipe: Recipe, quality: messages.Quality) -> Evaluated:
        """What the recipe's rows say of its artifact, once the README's code was run too."""
        device = self._site.workload.device
        self._site.say.stage(recipe.name, "deploy")
        deployed = deploy(
            self._site.folder(recipe.name),
            self._site.spec.serving_batch_size or min(self._site.spec.batch_sizes),
            self._site.spec.deploy_time,
            plain_environment(self._site.threads_of(recipe)) | recipe.environment(),
            log=self._site.spec.output_dir / LOG,
            scratch=self._site.timing_file.parent,
        )
        facts = quality.model_dump(exclude={*messages.Answer.model_fields}) | deployed.model_dump()
        return Evaluated.model_validate(
            facts
            | {
                "effect": quality.effect.plus(*filter(None, [recipe.slow(device)])),
                "artifact": f"{MODELS}/{recipe.folder}",
                "caveats": recipe.caveats,
                "precision": recipe.precision(device),
                "process_setting": recipe.only_sets_the_process,
                "threads": self._site.threads_of(recipe),
            }
        )

    def _accuracy_batch(self, recipe: Recipe) -> int:
        """The most images at once; few where a batch may take half a minute, to learn soon how long all take."""
        every = sorted({*self._site.spec.batch_sizes})
        sizes = [size for size in every if size <= ACCURACY_BATCH] or every[:1]
        few = (
            [size for size in sizes if size >= FEW_IMAGES] if recipe.slow(self._site.workload.device) else []
        )
        return min(few, default=sizes[-1])

    def _untimed(self) -> Mapping[str, str]:
        """Variables for an accuracy pass: only its answers count, and a long one is worth its own fork server."""
        images = self._site.spec.images_of(self._site.workload.validation_images)
        return KEEP_FREED_MEMORY if images * self._site.workload.batch1_ms / 1000 > LONG_ACCURACY_S else {}
