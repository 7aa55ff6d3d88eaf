"""A machine that carries tasks out at once: its observations are what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from densebench.planners.sweep import Request, next_task
from densebench.planners.tasks import Build, Evaluate, Process, Round, Task
from densebench.recipes.parse import plan
from densebench.results.observation import (
    BuildObservation,
    Evaluated,
    EvaluateObservation,
    MeasureObservation,
    Observation,
    ProcessSamples,
    Status,
)
from densebench.spec import RunSpec

NOW = "2026-01-02T03:04:05+00:00"
IDENTITY: dict[str, object] = {
    "model": "m",
    "weights": "w",
    "data": "d",
    "image_size": 32,
    "device": "cpu",
    "threads": 1,
    "seed": 0,
    "environment_id": "e",
}
Answer = Callable[[str, int, Round], dict[str, Any]]  # of a recipe at a batch size in a round
MOST_TASKS = 200


def request_of(recipes: tuple[str, ...] = ("channels_last", "jit"), **flags: Any) -> Request:
    """What a sweep of these recipes was asked for, without a confirmation if nothing else is said."""
    flags = {"batch_sizes": [4], "focus_batch_sizes": [], "confirmation_rounds": 0} | flags
    spec = RunSpec.create(recipes=list(recipes), **flags)
    return Request(spec=spec, recipes=plan(spec.recipes, spec.named), device="cpu", identity=IDENTITY)


def quick(recipe: str, size: int, task: Round) -> dict[str, Any]:
    """Every call takes 10 ms."""
    return {"ms": 10.0}


def answered(task: Task, request: Request, answer: Answer = quick) -> Iterator[Observation]:
    """The observations of a task."""
    match task:
        case Build(name, sizes):
            recipe = next(recipe for recipe in request.recipes if recipe.name == name)
            yield BuildObservation(
                recipe=name,
                steps=recipe.line,
                batch_sizes=sizes,
                any_batch=recipe.engine.what.any_batch,
                started_at=NOW,
            )
        case Evaluate(name):
            found = Evaluated(
                artifact=f"models/{name}", threads=1, accuracy_top1=99.0, correct_top1="1" * 400
            )
            yield EvaluateObservation(recipe=name, found=found, started_at=NOW)
        case Round():
            for process in task.processes:
                yield from _measured(task, process, answer)


def _measured(task: Round, process: Process, answer: Answer) -> Iterator[Observation]:
    for size in process.batch_sizes:
        facts = answer(process.recipe, size, task)
        samples = None
        if ms := facts.pop("ms", None):
            first_s = 0.1 if size == process.batch_sizes[0] else None
            samples = ProcessSamples(samples_ms=(ms, ms), first_inference_s=first_s, load_s=0.1)
        yield MeasureObservation(
            recipe=process.recipe,
            batch_size=size,
            stage=task.stage,
            round=task.number,
            of=task.measurements,
            samples=samples,
            started_at=NOW,
            **facts,
        )


def carried_out(
    request: Request, observations: list[Observation] | None = None, answer: Answer = quick
) -> tuple[list[Observation], list[Task]]:
    """All observations at the end of the plan, and the tasks that led there."""
    found, tasks = list(observations or ()), list[Task]()
    request = replace(request, since=len(found))
    while (task := next_task(request, found)) is not None:
        tasks.append(task)
        assert len(tasks) < MOST_TASKS, "the plan has no end"
        found += answered(task, request, answer)
    return found, tasks


def rounds_of(tasks: list[Task]) -> list[Round]:
    """The rounds among some tasks."""
    return [task for task in tasks if isinstance(task, Round)]


def failing(which: str, at: int, status: Status = Status.FAILED, **facts: Any) -> Answer:
    """One recipe ends badly at one batch size."""

    def answer(recipe: str, size: int, task: Round) -> dict[str, Any]:
        if (recipe, size) == (which, at):
            return {"status": status, "reason": "it broke", **facts}
        return quick(recipe, size, task)

    return answer
