"""What `densebench list --json` prints, with the options of each step and what a search may try of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from densebench import engines, techniques
from densebench.engines.base import Engine
from densebench.schema import Frozen
from densebench.techniques.base import Option, Options, Technique, worth_trying

Value = bool | int | float | str


class Choice(Frozen):
    """An option of a step.

    Args:
        values: what a search may try, the default among them; empty where the option is for people only.
        costs: what a build takes with each value, as a multiple of what it takes with the default.
        needs: option -> the value that it must have for this option to mean anything.

    """

    name: str
    default: Value
    values: tuple[Value, ...]
    costs: tuple[float, ...]
    needs: dict[str, Value]


class RecipeLine(Frozen):
    """A recipe of the default suite; `unavailable` says why it can't run here."""

    name: str
    about: str
    unavailable: str


class StepLine(RecipeLine):
    """A technique or an engine."""

    aliases: str
    options: str
    choices: tuple[Choice, ...]


class Catalogue(Frozen):
    """All that there is."""

    recipes: tuple[RecipeLine, ...]
    techniques: tuple[StepLine, ...]
    engines: tuple[StepLine, ...]


def whole(lines: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, object]:
    """The lines of the tables, those of techniques and engines with their options, as JSON."""
    known: dict[str, Mapping[str, Technique | Engine]]
    known = {"techniques": techniques.catalogue(), "engines": engines.catalogue()}
    found = {
        kind: [
            {**line, "choices": choices(known[kind][line["name"]].options)} if kind in known else line
            for line in of_kind
        ]
        for kind, of_kind in lines.items()
    }
    return Catalogue.model_validate(found).model_dump(mode="json")


def choices(options: type[Options]) -> list[Choice]:
    """All options of a step."""
    tried = worth_trying(options)
    return [
        Choice.model_validate(
            {
                "name": name,
                "default": field.get_default(call_default_factory=True),
                "values": option.values,
                "costs": tuple(option.costs().values()),
                "needs": option.needs,
            }
        )
        for name, field in options.model_fields.items()
        for option in [tried.get(name, Option(()))]
    ]


def schema() -> dict[str, object]:
    """The JSON schema of `densebench list --json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Catalogue.model_json_schema(mode="serialization"),
        "title": "densebench list --json",
    }
