"""What `--help` shows of each flag: the value that holds where the flag isn't given."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, TypeVar

from typer.core import TyperCommand, TyperOption

T = TypeVar("T")
LONGEST = 40  # characters of a default that is shown whole


class DefaultsCommand(TyperCommand):
    """A command whose help shows a default for every flag, `none` too.

    A flag's own default stays None, which says that it isn't given.
    """

    def defaults(self) -> Mapping[str, object]:
        """What holds where a flag isn't given, for flags whose own default doesn't say so."""
        return {}

    def format_help(self, ctx: Any, formatter: Any) -> None:  # of classes that Typer keeps private
        """Write the help with the defaults in it."""
        values = self.defaults()
        shown = copy(self)
        shown.params = [_with_default(param, values) for param in self.params]
        super(DefaultsCommand, shown).format_help(ctx, formatter)


class SuiteCommand(DefaultsCommand):
    """A command whose flags are `RunSpec`'s: its help shows the default suite's values."""

    def defaults(self) -> Mapping[str, object]:
        """The default suite's values; where another one is named, its own hold."""
        from densebench.spec import RunSpec

        return RunSpec.create().model_dump()


class OfTheRunCommand(DefaultsCommand):
    """A command on results, whose flags of `RunSpec` take the place of what the run was asked for."""

    def defaults(self) -> Mapping[str, object]:
        """The run's own values, which no help knows."""
        from densebench.spec import RunSpec

        return dict.fromkeys(RunSpec.model_fields, "the run's")


def _with_default(param: T, values: Mapping[str, object]) -> T:
    """The option as the help shows it: a switch is off, and some options say their default in words."""
    if not isinstance(param, TyperOption) or param.is_flag or "default:" in (param.help or ""):
        return param
    if param.default is not None or param.required:  # Typer shows these
        return param
    shown = copy(param)
    shown.default = _typed(values.get(param.name or ""))
    return shown


def _typed(value: object) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        text = ",".join(map(_typed, value))
        return text if len(text) <= LONGEST else "the suite's"
    return f"{value:g}" if isinstance(value, float) else str(value)
