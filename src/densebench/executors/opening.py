"""Before the first task: children that can work, the workload, what the machine can do, and what the run is."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from densebench.build_cache import SCRATCH
from densebench.decision.provable import limit_note
from densebench.errors import CellFailed, CellTimedOut, InputError, Unavailable, UsageError
from densebench.executors.local import BUILD_PATIENCE
from densebench.executors.site import LIMIT_FLAG, Clock, Say, Site
from densebench.machine.cpus import kept_on, placement
from densebench.machine.environment import environment, environment_id
from densebench.machine.preflight import room, warnings
from densebench.planners.forecast import impossible, needs_mb
from densebench.planners.sweep import Request
from densebench.processes import messages
from densebench.processes.environment import plain_environment
from densebench.processes.pool import ForkServerPool
from densebench.recipes.recipe import Recipe
from densebench.results import journal
from densebench.results.header import Header
from densebench.results.observation import EvaluateObservation, Observation
from densebench.roofline.ceilings import cached
from densebench.spec import RunSpec, is_onnx_file
from densebench.workloads.folder import folder_fingerprint


@contextmanager
def opened(spec: RunSpec, recipes: Sequence[Recipe], say: Say, log: Path | None = None) -> Iterator[Site]:
    """Children ready to work, and the workload resolved and checked.

    What children print goes into the log, if one is named. If the default number of threads leaves out a socket,
    this thread and all children stay on the other one meanwhile.

    Raises:
        UsageError: the workload, or what is asked of it, can't be had.

    """
    placed = placement(spec.threads)
    with tempfile.TemporaryDirectory(prefix="densebench-") as scratch, kept_on(placed.cpus):
        timing_file = Path(scratch) / "timing.safetensors"
        # what a child leaves when it is killed goes with the scratch folder
        variables = plain_environment(placed.threads) | {"TMPDIR": scratch, SCRATCH: scratch}
        with ForkServerPool(variables, log or Path(scratch) / "run.log") as pool:
            say.note("opening model, weights and data")
            workload = _described(spec, pool, timing_file, placed.threads)
            _check_calibration(recipes, workload)
            _check_memory(spec, workload)
            yield Site(
                spec=spec,
                recipes={recipe.name: recipe for recipe in recipes},
                placement=placed,
                pool=pool,
                workload=workload,
                timing_file=timing_file,
                survey=messages.Surveyed(),
                say=say,
            )


def _described(spec: RunSpec, pool: ForkServerPool, timing_file: Path, threads: int) -> messages.Described:
    job = messages.Describe(
        workload=messages.WorkloadJob(**spec.model_dump(include=set(messages.WorkloadJob.model_fields))),
        device=spec.device,
        batch_sizes=tuple(spec.batch_sizes),
        timing_file=timing_file,
        threads=threads,
    )
    limit_s = BUILD_PATIENCE * spec.cell_timeout
    try:
        return pool.plain.run(job, messages.Described, limit_s)
    except CellTimedOut:
        raise InputError(
            f"opening model, weights and data took more than {limit_s:g} s: a longer {LIMIT_FLAG} allows "
            f"more ({BUILD_PATIENCE} times as long as it says), or name files that are here already"
        ) from None


def _check_calibration(recipes: Sequence[Recipe], workload: messages.Described) -> None:
    """Refuse to begin where a recipe asks for more images than there are; without any, its row is skipped."""
    there_are = workload.calibration_images
    for recipe in recipes:
        wanted = recipe.engine.what.calibrates_on(recipe.engine.options)
        if 0 < there_are < wanted:
            raise UsageError(
                f"recipe '{recipe.name}' needs {wanted} images to calibrate on, the data has {there_are}: "
                "ask for fewer"
            )


def _check_memory(spec: RunSpec, workload: messages.Described) -> None:
    """Refuse to begin where memory decides and nothing measures it: on a CPU a program of its own does."""
    asked = "--objective memory" if spec.objective == "memory" else "--max-memory-mb"
    if spec.objective != "memory" and spec.max_memory_mb is None:
        return
    if workload.device != "cpu" or spec.deploy_time or _knows_memory(spec):
        return
    raise UsageError(f"{asked} needs a deploy-time above 0 in the suite: it measures the memory")


def _knows_memory(spec: RunSpec) -> bool:
    """Whether the run that is resumed has measured the memory of a program of its own."""
    if not spec.resume or not (spec.output_dir / journal.FILE_NAME).exists():
        return False
    return any(
        one.found is not None and one.found.deploy_memory_mb is not None
        for one in journal.read(spec.output_dir)[1]
        if isinstance(one, EvaluateObservation)
    )


def header_of(site: Site, command: str) -> Header:
    """What the run is, once the machine was looked at and surveyed; warnings are told at once."""
    spec, facts = site.spec, environment()
    identity = _identity(site, environment_id(facts))
    able = [recipe for recipe in site.recipes.values() if not impossible(recipe, spec, site.workload.device)]
    needed = needs_mb(spec, len(able), site.workload.parameters, site.workload.workload.image_size)
    provable = limit_note(spec.max_accuracy_drop, spec.images_of(site.workload.validation_images))
    notes = (
        *site.workload.notes,
        *([provable] if provable else []),
        *([site.placement.note] if site.placement.note else []),
        *warnings(site.placement),
        *room(*needed, spec.output_dir),
    )
    for note in notes:
        site.say.note(note)
    site.survey = _survey(site, str(identity["environment_id"]))
    return Header(
        identity=identity,
        spec=spec.model_dump(mode="json") | {"recipes": list(site.recipes)},
        environment=facts,
        ceilings=site.survey.ceilings,
        energy=site.survey.energy_method,
        clock_step_us=site.survey.clock_step_us,
        notes=notes,
        command=command,
        started_at=str(Clock().facts()["started_at"]),
    )


def _identity(site: Site, environment: str) -> dict[str, str | int]:
    """What a resume must match: all rows of one journal share it."""
    spec, workload = site.spec, site.workload
    identity: dict[str, str | int] = {
        "model": Path(spec.model).name if is_onnx_file(spec.model) else spec.model,  # the hash says whose
        "weights": workload.weights,
        "data": workload.data,
        "image_size": workload.workload.image_size,
        "device": workload.device,
        "threads": site.threads,
        "seed": spec.seed,
        "weights_sha256": workload.weights_sha256,  # after the seed, which random weights follow from
        "environment_id": environment,
    }
    if spec.accuracy_images != "all":  # what was evaluated on others can't be compared
        identity["accuracy_images"] = spec.accuracy_images
    if files := folder_fingerprint(workload.workload.data):
        identity["data_files"] = files  # two folders may have one name
    return identity


def _survey(site: Site, environment: str) -> messages.Surveyed:
    """What rows are judged by; a machine that can't say costs the figures that need it and nothing else."""
    device, threads, spec = site.workload.device, site.threads, site.spec
    job = messages.Survey(device=device, threads=threads, environment_id=environment, ceilings=spec.ceilings)
    try:
        return site.pool.plain.run(
            job,
            messages.Surveyed,
            BUILD_PATIENCE * spec.cell_timeout,
            lambda stage: site.say.detail("this machine's ceilings", "survey", stage),
        )
    except (CellFailed, Unavailable) as error:
        site.say.note(f"the survey of this machine's ceilings failed: {error}")
        kept = cached(environment, device, threads) if spec.ceilings else None
        return messages.Surveyed(ceilings=kept.model_dump(mode="json") if kept else None)


def request_of(
    site: Site, header: Header, observations: Sequence[Observation], lost: Container[str]
) -> Request:
    """What the planner is asked: the run's own cells, and what earlier parts of it left."""
    device, recipes = site.workload.device, list(site.recipes.values())
    reasons = {recipe.name: impossible(recipe, site.spec, device) for recipe in recipes}
    site.add_recipes_of(observations)
    return Request(
        spec=site.spec,
        recipes=recipes,
        device=device,
        identity=header.identity,
        impossible={name: reason for name, reason in reasons.items() if reason},
        lost=lost,
        since=len(observations),
        known=header.known,
        planned=header.planned,
    )
