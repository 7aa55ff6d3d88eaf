"""Where, when and on what a run was measured, as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from densebench.errors import UsageError
from densebench.measure.ceilings import ceilings_of
from densebench.recipe import resolve
from densebench.record import Row
from densebench.report.sweep import Sweep
from densebench.rows import by_environment
from densebench.sinks.journal import Header
from densebench.wording import STATUS_WORDS, joined


def sweep_of(header: Header, rows: Sequence[Row]) -> Sweep:
    """The rows with the accuracy limit and the precision that the run was given, and the ceilings that it found."""

    def given(name: str, otherwise: float) -> float:
        return float(header.spec.get(name, header.spec.get(name.replace("_", "-"), otherwise)))

    return Sweep(
        tuple(rows),
        given("max_accuracy_drop", 1.0),
        ceilings_of(header.ceilings),
        precision_target=given("precision_target", 2.0),
        rounds=int(given("rounds", 0)),
        planned=tuple((_called(recipe, header), size) for recipe, size in header.planned),
    )


def _called(recipe: str, header: Header) -> str:
    """What a recipe's rows are called: a journal may have it as it was typed."""
    try:
        return resolve(recipe, header.spec.get("named", {})).name
    except UsageError:
        return recipe


def title(rows: Sequence[Row]) -> str:
    """What the report is about."""
    models = " and ".join(dict.fromkeys(row.model for row in rows)) or "no model"
    return f"{models}: which optimization to deploy"


def setting(header: Header, rows: Sequence[Row]) -> str:
    """Where, when and on what the rows were measured, and how they ended."""
    if not rows:
        return "No rows."
    row = rows[0]
    machine = header.environment.get("cpu" if row.device == "cpu" else "gpu0")
    where = f"on {row.device}" + (f" ({machine})" if machine else "")
    environments = len(by_environment(rows))
    if environments > 1:
        where = f"in {environments} environments"
    threads = "thread" if row.threads == 1 else "threads"
    counts = Counter(STATUS_WORDS[one.status] for one in rows)
    ended = joined([f"{count} {word}" for word, count in counts.items()])
    return (
        f"Measured {header.started_at[:10]} {where} with {row.threads} {threads}: "
        f"{row.image_size} px images, weights {row.weights}, data {row.data}, seed {row.seed}. "
        f"{len(rows)} rows: {ended}."
    )


def environment(header: Header) -> dict[str, str]:
    """Everything that is known of the machine and the run, flat."""
    energy = {"energy": header.energy} if header.energy else {}
    return _flat({**header.identity, **header.environment, **energy, "started": header.started_at})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        elif isinstance(value, (list, tuple)):
            flat[prefix + name] = ", ".join(str(item) for item in value)
        else:
            flat[prefix + name] = str(value)
    return flat
