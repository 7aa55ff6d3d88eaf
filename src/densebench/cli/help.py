"""What `--help` shows of the flags that a suite fills in: the value that holds where a flag isn't given."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, TypeVar

from typer.core import TyperCommand, TyperOption

T = TypeVar("T")
LONGEST = 40  # characters of a default that is shown whole


class SuiteCommand(TyperCommand):
    """A command whose flags are `RunSpec`'s: its help shows the default suite's values.

    A flag's own default stays None, which says that it isn't given and the suite in use decides.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:  # of classes that Typer keeps private
        """Write the help with the defaults in it."""
        from densebench.spec import RunSpec

        values = RunSpec.create().model_dump()
        shown = copy(self)
        shown.params = [_with_default(param, values) for param in self.params]
        super(SuiteCommand, shown).format_help(ctx, formatter)


def _with_default(param: T, values: Mapping[str, object]) -> T:
    """The option as the help shows it: a switch is off, and some options say their default in words."""
    if not isinstance(param, TyperOption) or param.is_flag or "default:" in (param.help or ""):
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
