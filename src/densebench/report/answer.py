"""The answer for programs: the decision and the rows as JSON, and as tags of logged runs."""

from __future__ import annotations

from collections.abc import Mapping

from densebench.decision import Decision
from densebench.report.headline import headline
from densebench.report.refusals import words
from densebench.report.sweep import Sweep
from densebench.results.columns import COLUMNS
from densebench.results.record import Row

Cell = tuple[str, int]


def answer(sweep: Sweep) -> dict[str, object]:
    """The decision of each environment with its headline, and all rows by their columns.

    `schemas/answer.json` in the package describes it.
    """
    return {
        "decisions": [
            {
                "environment_id": part.rows[0].environment_id if part.rows else "",
                "headline": headline(part),
                **part.decision.model_dump(mode="json"),
            }
            for part in sweep.parts
        ],
        "rows": [_row(row) for row in sweep.rows],
    }


def _row(row: Row) -> dict[str, object]:
    told = row.model_dump(mode="json", include={column.name for column in COLUMNS})
    texts = {"reason": row.reasons, "effect": row.effect_text}
    return {column.name: told[column.name] for column in COLUMNS} | texts


def schema() -> dict[str, object]:
    """The JSON schema of `answer`."""
    rows = Row.model_json_schema(mode="serialization")
    shown = rows["properties"] | {"effect": {"default": "", "title": "Effect", "type": "string"}}
    columns = {column.name: shown[column.name] | {"description": column.about} for column in COLUMNS}
    decision = Decision.model_json_schema(mode="serialization")
    definitions = {**decision.pop("$defs"), "Status": rows["$defs"]["Status"]}
    told = {"environment_id": {"type": "string"}, "headline": {"type": "string"}}
    decision["properties"] = {**told, **decision["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "densebench run --json, densebench report --json",
        "type": "object",
        "required": ["decisions", "rows"],
        "properties": {
            "decisions": {"type": "array", "items": decision},
            "rows": {"type": "array", "items": {"type": "object", "properties": columns}},
        },
        "$defs": definitions,
    }


def answer_tags(sweep: Sweep) -> dict[Cell, dict[str, str]]:
    """For each timed row: whether it is the one to deploy, and why its recipe is not."""
    tags: dict[Cell, dict[str, str]] = {}
    for part in sweep.parts:
        chosen = part.chosen
        reasons: Mapping[str, str] = {one.recipe: words(one) for one in part.decision.reasons}
        for row in part.timed:
            tags[row.key] = {"recommended": str(row is chosen).lower()}
            if row is chosen:
                tags[row.key]["answer"] = headline(part)
            elif row.recipe in reasons:
                tags[row.key]["not_recommended_since"] = reasons[row.recipe]
    return tags
