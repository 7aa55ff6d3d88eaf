"""Which techniques and engines can't be stacked: two that decide one thing, one that another refuses, two devices."""

from __future__ import annotations

from itertools import combinations, permutations

from densebench import engines
from densebench.engines.base import Engine
from densebench.errors import UsageError
from densebench.recipes.recipe import Step
from densebench.techniques.base import Technique


def check_stack(recipe: str, steps: tuple[Step[Technique], ...], engine: Step[Engine]) -> None:
    """Refuse techniques and an engine that can't be stacked in this order.

    Raises:
        UsageError: which two don't go together, why, and what to change.

    """
    decided: dict[str, str] = {}
    for step in steps:
        what = step.what
        for change, why in what.after.items():
            if change in decided:
                raise UsageError(f"recipe '{recipe}': put {what.name} before {decided[change]}: {why}")
        if what.changes in decided:
            raise UsageError(
                f"recipe '{recipe}': {decided[what.changes]} and {what.name} both decide the {what.changes}: keep one"
            )
        decided[what.changes] = what.name
        by_options = engine.what.refuses_with(engine.options)
        for given in what.gives:
            for runner, refused in ((engine.what.name, engine.what.refuses), (engine.line, by_options)):
                if given in refused:
                    raise UsageError(
                        f"recipe '{recipe}': {what.name} can't run in {runner}: {refused[given]}"
                    )
    _check_pairs(recipe, steps)
    _check_devices(recipe, steps, engine)


def _check_pairs(recipe: str, steps: tuple[Step[Technique], ...]) -> None:
    for step, other in permutations(steps, 2):
        unwanted = other.what.refuses_with(other.options)
        for given in step.what.gives:
            if given in unwanted:
                raise UsageError(
                    f"recipe '{recipe}': {step.what.name} can't go with {other.line}: {unwanted[given]}"
                )


def _check_devices(recipe: str, steps: tuple[Step[Technique], ...], engine: Step[Engine]) -> None:
    able = [(step.what.name, step.what.devices) for step in steps]
    able.append((engine.line, engine.what.devices(engine.options)))
    for (one, here), (other, there) in combinations(able, 2):
        if not set(here) & set(there):
            said = f"{one} runs on {' and '.join(here)} only, and {other} on {' and '.join(there)} only"
            raise UsageError(f"recipe '{recipe}': {said}: keep one{_instead(steps)}")


def _instead(steps: tuple[Step[Technique], ...]) -> str:
    """Engines that the techniques can run in, with their default options."""
    able = set()
    for engine in engines.catalogue().values():
        devices = set(engine.devices(engine.options().model_dump()))
        shared = devices.intersection(*(step.what.devices for step in steps))
        if shared and not any(given in engine.refuses for step in steps for given in step.what.gives):
            able.add(engine.name)
    return f", or end in one of {', '.join(sorted(able))}" if able else ""
