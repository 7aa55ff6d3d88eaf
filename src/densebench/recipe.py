"""A recipe: zero or more techniques that change the model, then one engine that runs it.

In one line: `technique:option=value+engine:option=value`; without an engine, the default one runs it. What
doesn't fit together is refused here, before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations, permutations
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from densebench import engines, techniques
from densebench.engines.base import Engine
from densebench.errors import Unavailable, UsageError
from densebench.record import BASELINE
from densebench.techniques.base import Technique, unchanged

T = TypeVar("T", Technique, Engine)


@dataclass(frozen=True)
class Step(Generic[T]):
    """A technique or engine with its options, all of them checked."""

    what: T
    options: Mapping[str, Any]

    @property
    def line(self) -> str:
        given: dict[str, Any] = self.what.options.model_validate(self.options).model_dump(
            exclude_defaults=True
        )
        return ":".join([self.what.name, *(f"{k}={_text(v)}" for k, v in given.items())])


@dataclass(frozen=True)
class Recipe:
    """A named stack that is known to be legal."""

    name: str
    techniques: tuple[Step[Technique], ...]
    engine: Step[Engine]

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        """The techniques in order, then the engine."""
        return (*self.techniques, self.engine)

    @property
    def line(self) -> str:
        """The one-line form, without options that have their default value."""
        return "+".join(step.line for step in self.steps)

    @property
    def folder(self) -> str:
        """The recipe's name as a folder's name."""
        return folder_name(self.name)

    @property
    def tolerance(self) -> float:
        """Relative L2 difference allowed between outputs at build and after a reload."""
        return max([self.engine.what.tolerance, *(step.what.tolerance for step in self.techniques)])

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a deployer of this recipe should know."""
        return tuple(step.what.caveat for step in self.steps if step.what.caveat)

    def precision(self, device: str) -> str:
        """What most multiplications run in on this device: `float32`, `bfloat16`, `float16` or `int8`."""
        if inside := self.engine.what.precision(self.engine.options):
            return inside
        changed = [one for step in self.techniques if (one := step.what.precision(device))]
        return changed[-1] if changed else "float32"

    def environment(self) -> dict[str, str]:
        """Variables that a process must start with to run this recipe as it is meant.

        Raises:
            Unavailable: a library that they need is not installed.

        """
        variables: dict[str, str] = {}
        for step in self.techniques:
            variables |= step.what.environment(**step.options)
        return variables

    def unavailable(self, device: str) -> str | None:
        """Why the recipe can't run on this device, or None."""
        for step in self.steps:
            reason: str | None = step.what.unavailable(device)
            if reason:
                return reason
        try:
            self.environment()
        except Unavailable as lacking:  # it depends on the options, which only this takes
            return str(lacking)
        return None

    def typical_build_s(self, image_size: int) -> float:
        """Seconds that techniques and engine are known to take for DenseNet-121, for estimates only."""
        changing = sum(step.what.typical_s(image_size, **step.options) for step in self.techniques)
        return changing + self.engine.what.typical_build_s

    def unfit(self, file: str) -> str | None:
        """Why the recipe can't run an ONNX file of this name, which is no PyTorch model, or None."""
        able = {engine.name for engine in engines.catalogue().values() if engine.takes_onnx}
        where = f"{file} runs in {', '.join(sorted(able))}"
        for step in self.techniques:
            if step.what.apply is not unchanged:
                return f"{step.what.name} changes a PyTorch model; {where}"
        engine = self.engine.what
        return None if engine.takes_onnx else f"{engine.name} runs PyTorch models; {where}"

    def slow(self, device: str) -> str | None:
        """Why the recipe may be very slow on this device, or None."""
        return next((reason for step in self.techniques if (reason := step.what.slow(device))), None)


def folder_name(name: str) -> str:
    """Every character that is not a-z, 0-9, dot, underscore or hyphen becomes an underscore."""
    return re.sub(r"[^a-z0-9._-]", "_", name)


def plan(names: tuple[str, ...], named: Mapping[str, str]) -> list[Recipe]:
    """The recipes asked for, in order, each once, with the baseline before them.

    Raises:
        UsageError: an unknown name (with the nearest one), an option or a stack that doesn't work.

    """
    recipes = {recipe.name: recipe for recipe in (resolve(name, named) for name in (BASELINE, *names))}
    folders: dict[str, str] = {}
    for recipe in recipes.values():
        other = folders.setdefault(recipe.folder, recipe.name)
        if other != recipe.name:
            raise UsageError(
                f"recipes '{other}' and '{recipe.name}' would share the folder '{recipe.folder}'"
            )
    return list(recipes.values())


def resolve(text: str, named: Mapping[str, str]) -> Recipe:
    """The recipe of this name or one-line form."""
    text = text.strip()
    line = named.get(text, text)
    if not text or not line.strip():
        raise UsageError(f"recipe '{text}' names no step" if text else "--recipes: an empty recipe name")
    if text in named and text.startswith("."):
        raise UsageError(f"recipe '{text}': a name can't begin with a dot: it is a folder's name too")
    *heads, last = line.split("+")
    engine_name = last.partition(":")[0].strip()
    if engine_name not in engines.catalogue():
        heads, last = [*heads, last], engines.default().name
    steps = tuple(_step(part, text, techniques.catalogue(), named) for part in heads)
    engine = _step(last, text, engines.catalogue(), named)
    _check_stack(text, steps, engine)
    recipe = Recipe(text, steps, engine)
    return recipe if text in named else Recipe(_canonical(recipe), steps, engine)


def _canonical(recipe: Recipe) -> str:
    """Aliases and spelled-out defaults give way to one name; the default engine goes unsaid after a technique."""
    default = engines.default().name
    short = recipe.techniques and recipe.engine.line == default
    return recipe.line.removesuffix(f"+{default}") if short else recipe.line


def _step(part: str, recipe: str, catalogue: Mapping[str, T], named: Mapping[str, str]) -> Step[T]:
    name, *pairs = (piece.strip() for piece in part.split(":"))
    if name not in catalogue:
        raise UsageError(_unknown(name, recipe, named))
    what = catalogue[name]
    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in given:
            raise UsageError(
                f"recipe '{recipe}': write options as name:option=value, each once (got '{pair}')"
            )
        given[key] = value
    try:
        return Step(what, what.options.model_validate(given).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(what.options.model_fields) or "none"
            raise UsageError(
                f"recipe '{recipe}': {name} has no option '{option}' (it has: {known})"
            ) from None
        raise UsageError(f"recipe '{recipe}': {name}:{option}: {first['msg'].lower()}") from None


def _unknown(name: str, recipe: str, named: Mapping[str, str]) -> str:
    known = sorted({*techniques.catalogue(), *engines.catalogue(), *named})
    where = f" in '{recipe}'" if name != recipe else ""
    if not name:
        return f"recipe '{recipe}': a step is missing beside a '+' or ':'"
    if name in named:
        return f"recipe '{recipe}': '{name}' is a whole recipe: write its steps instead ({named[name]})"
    if name in engines.catalogue():
        return f"recipe '{recipe}': the engine {name} must come last, and once"
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
    return f"unknown recipe '{name}'{where}; {hint}"


def _check_stack(recipe: str, steps: tuple[Step[Technique], ...], engine: Step[Engine]) -> None:
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


def _text(value: object) -> str:
    """An option's value as it is written in a recipe, to be read back as the same value."""
    if isinstance(value, float):
        short = f"{value:g}"
        return (short if float(short) == value else repr(value)).replace("e+", "e")  # + separates steps
    return str(value).lower() if isinstance(value, bool) else str(value)
