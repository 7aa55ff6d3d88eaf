"""Results folders made by hand: a journal whose observations amount to given records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from densebench.machine.interference import Interference
from densebench.results import journal
from densebench.results.assemble import MEDIANS, PEAKS
from densebench.results.header import Identity
from densebench.results.observation import (
    BuildObservation,
    Evaluated,
    EvaluateObservation,
    MeasureObservation,
    Observation,
    ProcessSamples,
    Stage,
    Status,
)
from densebench.results.record import Record
from tests.factory import FACTS, IDENTITY, header

AT = FACTS["started_at"]
CONFIRMED_FROM = 1000  # number of the first round of a confirmation: no number is used twice


def built(recipe: str = "baseline", **changes: Any) -> BuildObservation:
    """A build that went well."""
    facts = {"recipe": recipe, "steps": "eager", "batch_sizes": (1, 8), "any_batch": True, "started_at": AT}
    return BuildObservation.model_validate(facts | changes)


def evaluated(recipe: str = "baseline", **changes: Any) -> EvaluateObservation:
    """An evaluation that went well, with what it found."""
    found = Evaluated.model_validate({"artifact": f"models/{recipe}", "threads": 2} | changes)
    return EvaluateObservation(recipe=recipe, found=found, started_at=AT)


def measured(
    recipe: str = "baseline",
    number: int = 0,
    ms: float = 10.0,
    *,
    of: int = 1,
    batch_size: int = 1,
    samples: ProcessSamples | None = None,
    **changes: Any,
) -> MeasureObservation:
    """What a process says that timed a few calls of so many ms in this round; nothing where it ended badly."""
    timed = None if changes.get("status") else samples or ProcessSamples(samples_ms=(ms,) * 5)
    facts = {"recipe": recipe, "round": number, "of": of, "batch_size": batch_size, "samples": timed}
    return MeasureObservation.model_validate(facts | {"started_at": AT} | changes)


def observations_of(records: Iterable[Record]) -> list[Observation]:
    """Builds, evaluations and measurements in whole rounds that amount to these records."""
    records = list(records)
    of_recipe = {one.recipe: one for one in records}
    made: list[Observation] = []
    for name, one in of_recipe.items():
        made.append(built(name, steps=one.steps, started_at=one.started_at))
        found = Evaluated.model_validate(one.model_dump(include={*Evaluated.model_fields} - {"reason"}))
        reason = one.reason if one.status is Status.OK else ""
        made.append(evaluated(name, **found.model_dump() | {"reason": reason}))
    timed = [each for one in records for each in _measurements(one)]
    sizes = Counter(one.round for one in timed)
    whole = [one.model_copy(update={"of": sizes[one.round]}) for one in timed]
    return [*made, *sorted(whole, key=lambda one: one.round)]


def _measurements(record: Record) -> list[MeasureObservation]:
    stage: Stage = record.stage
    first = CONFIRMED_FROM if stage == "confirmation" else 0
    facts: dict[str, Any] = {
        "recipe": record.recipe,
        "batch_size": record.batch_size,
        "stage": stage,
        "of": 1,
        "started_at": record.started_at,
    }
    if record.status is not Status.OK:
        failure = {"round": first, "status": record.status, "reason": record.reason}
        return [MeasureObservation.model_validate(facts | failure)]
    told = {name: value for name in (*PEAKS, *MEDIANS) if (value := getattr(record, name)) is not None}
    told |= {"left_out": record.left_out, "power_limited": record.power_limited}
    if record.stable is False:
        told["interference"] = (Interference(kind="others", text=record.interference or "others"),)
    return [
        MeasureObservation.model_validate(
            facts | {"round": first + one.round, "samples": one.samples.model_copy(update=told)}
        )
        for one in record.timed_processes
    ]


def write(folder: Path, records: Sequence[Record], **head: Any) -> Path:
    """A results folder whose journal amounts to these records, of one machine.

    Args:
        folder: to write into.
        records: all of one environment.
        **head: fields of the header that are others.

    """
    one = records[0] if records else Record.model_validate(FACTS)
    assert len({each.environment_id for each in records}) <= 1
    asked = {
        "recipes": list(dict.fromkeys(each.recipe for each in records)),
        "batch_sizes": sorted({each.batch_size for each in records}),
    }
    identity = {
        **IDENTITY,
        **{name: getattr(one, name) for name in Identity.model_fields},
        **head.get("identity", {}),
    }
    head |= {"identity": identity, "spec": asked | header(**head).spec}
    return write_lines(folder, observations_of(records), **head)


def write_lines(folder: Path, observations: Iterable[Observation], **head: Any) -> Path:
    """A results folder whose journal has these observations."""
    kept = journal.create(folder, header(**head))
    for one in observations:
        kept.append(one)
    kept.close()
    return folder
