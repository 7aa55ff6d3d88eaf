"""The flags that `run` and `report` share with suite files: `RunSpec` states them once, in its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

import typer

from densebench.errors import UsageError
from densebench.spec import FILE_ONLY, Limits, RunSpec, flag_of

OF_A_RUN = tuple(name for name in RunSpec.model_fields if name not in FILE_ONLY)
OF_A_DECISION = tuple(name for name in OF_A_RUN if name in {"objective", *Limits.model_fields})
Command = TypeVar("Command", bound=Callable[..., None])
_READ_BY_TYPER = (int, float, Path)


def with_flags(*names: str) -> Callable[[Command], Command]:
    """Show Typer these fields of `RunSpec` as options, in the place of the command's `**flags`."""

    def decorate(command: Command) -> Command:
        declared = inspect.signature(command, eval_str=True).parameters.values()
        own = [one for one in declared if one.kind is not inspect.Parameter.VAR_KEYWORD]
        command.__signature__ = inspect.Signature([*map(_option, names), *own])  # type: ignore[attr-defined]
        return command

    return decorate


def given(flags: Mapping[str, object]) -> dict[str, object]:
    """The flags that were given, with lists in the place of text that is separated by commas."""
    said = {name: value for name, value in flags.items() if value is not None and value is not False}
    return {name: _listed(name, value) for name, value in said.items()}


def _option(name: str) -> inspect.Parameter:
    """One field as an option. Its own default is None, or off: a flag that isn't given leaves it to the suite."""
    field = RunSpec.model_fields[name]
    switch = field.annotation is bool
    option = typer.Option(False if switch else None, flag_of(name), help=field.description)
    kind = bool if switch else _kind(field.annotation) | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)


def _kind(annotation: object) -> type:
    """What Typer makes of the flag's text. A list, or one of several words, stays text for `RunSpec` to check."""
    several = get_origin(annotation) in {Union, UnionType}
    parts = [one for one in get_args(annotation) if one is not NoneType] if several else [annotation]
    bare = [get_args(one)[0] if get_origin(one) is Annotated else one for one in parts]
    return next((kind for kind in _READ_BY_TYPER if bare == [kind]), str)


def _listed(name: str, value: object) -> object:
    annotation = RunSpec.model_fields[name].annotation
    if get_origin(annotation) is not tuple:
        return value
    parts = [part.strip() for part in str(value).split(",") if part.strip()]
    if _kind(get_args(annotation)[0]) is not int:
        return parts
    try:
        return [int(part) for part in parts]
    except ValueError:
        raise UsageError(
            f"{flag_of(name)}: whole numbers separated by commas, such as 1,8,32 (got '{value}')"
        ) from None
