"""The one-line form of a recipe: `technique:option=value+engine:option=value`.

Without an engine, the default one runs it. What is written wrong, or doesn't fit together, is refused here, before
anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import ValidationError

from densebench import engines, techniques
from densebench.errors import UsageError
from densebench.recipes.compatibility import check_stack
from densebench.recipes.recipe import Recipe, Step, T
from densebench.spec import BASELINE


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
    check_stack(text, steps, engine)
    recipe = Recipe(text, steps, engine)
    short = _canonical(recipe)
    return recipe if text in named or short in named else Recipe(short, steps, engine)


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
