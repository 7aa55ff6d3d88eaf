"""Records from observations: what all processes of a recipe at a batch size amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median

from densebench.results.current import Cell, Current, current
from densebench.results.header import Identity
from densebench.results.observation import (
    Evaluated,
    MeasureObservation,
    Observation,
    ProcessSamples,
    Stage,
    Status,
)
from densebench.results.record import Record, TimedProcess
from densebench.spec import LEAST_ROUNDS

PEAKS = ("host_memory_peak_mb", "vram_peak_mb", "vram_driver_peak_mb")
MEDIANS = ("load_s", "first_inference_s", "host_memory_floor_mb", "energy_j_per_image")


def records(
    observations: Sequence[Observation],
    identity: Mapping[str, object],
    cells: Iterable[Cell],
    stage: Stage = "sweep",
) -> list[Record]:
    """A record for each of these cells of which anything is known.

    Args:
        observations: of a run, in the order in which they were made.
        identity: what all its records share, as the journal's header has it.
        cells: those to tell of.
        stage: what they were measured for.

    """
    known = current(observations)
    shared = Identity.model_validate(identity).model_dump()
    found = (_record(known, cell, shared, stage) for cell in cells)
    return [one for one in found if one is not None]


def confirmation_records(observations: Sequence[Observation], identity: Mapping[str, object]) -> list[Record]:
    """The records of all cells that the choice was confirmed by."""
    known = current(observations)
    cells = [cell for stage, cell in [*known.measured, *known.failed] if stage == "confirmation"]
    return records(observations, identity, dict.fromkeys(cells), "confirmation")


def _record(known: Current, cell: Cell, shared: Mapping[str, object], stage: Stage) -> Record | None:
    recipe, size = cell
    build, evaluation = known.builds.get(recipe), known.evaluations.get(recipe)
    if build is None:
        return None
    facts = {**shared, "recipe": recipe, "steps": build.steps, "batch_size": size, "stage": stage}
    for one in (build, evaluation):
        if one is not None and one.status is not Status.OK:
            return Record.model_validate(
                facts | {"status": one.status, "reason": one.reason, "started_at": one.started_at}
            )
    measured, failure = known.measured.get((stage, cell), []), known.failed.get((stage, cell))
    about = evaluation.found.model_dump() if evaluation and evaluation.found else {}
    if failure is not None and len(measured) < LEAST_ROUNDS:
        ended = {"status": failure.status, "reason": failure.reason, "started_at": failure.started_at}
        return Record.model_validate(facts | about | ended)
    if not measured:
        return None
    facts |= about | _timed(measured, evaluation.found if evaluation else None)
    facts |= _told(measured, known.discarded.get((stage, cell), []), failure)
    return Record.model_validate(facts | {"status": Status.OK, "started_at": measured[0].started_at})


def _timed(measured: Sequence[MeasureObservation], found: Evaluated | None) -> dict[str, object]:
    """Samples and figures of the processes."""
    samples = [one.samples for one in measured if one.samples is not None]
    facts: dict[str, object] = {
        "timed_processes": tuple(
            TimedProcess(round=one.round, samples=one.samples) for one in measured if one.samples is not None
        ),
        "left_out": fmean(one.left_out for one in samples),
        "power_limited": any(one.power_limited for one in samples),
        "traces": tuple(one.trace for one in measured if one.trace),
    }
    facts |= {name: max(_figures(samples, name), default=None) for name in PEAKS}
    facts |= {name: median(own) if (own := _figures(samples, name)) else None for name in MEDIANS}
    joules = _figures(samples, "energy_j_per_image")
    if joules and median(joules) <= 0:
        facts["energy_j_per_image"] = None  # less than this counter can tell from idling
    if (
        found is None or found.cold_start_s is None
    ):  # a start without a compiler's cache is the only kind there is
        starts = [
            one.load_s + one.first_inference_s
            for one in samples
            if one.load_s is not None and one.first_inference_s is not None
        ]
        facts["cold_start_s"] = median(starts) if starts else None
    return facts


def _told(
    measured: Sequence[MeasureObservation],
    discarded: Sequence[MeasureObservation],
    failure: MeasureObservation | None,
) -> dict[str, object]:
    """What else used the machine, in the words of the column `interference`."""
    marked = interference_text([one.samples for one in measured if one.samples])
    repeated = interference_text([one.samples for one in discarded if one.samples])
    count = f"{len(discarded)} process{'' if len(discarded) == 1 else 'es'}"
    said = [
        marked,
        f"{count} repeated: {repeated}" if repeated else "",
        f"no further rounds: {failure.reason}" if failure is not None else "",
    ]
    return {"stable": not marked, "interference": "; ".join(filter(None, said))}


def interference_text(processes: Sequence[ProcessSamples]) -> str:
    """What was seen in some of these processes: one is quoted for all, that with most to say."""
    marked = [one.interference for one in processes if one.interference]
    if not marked:
        return ""
    worst = "; ".join(one.text for one in max(marked, key=len))
    return worst if len(processes) == 1 else f"{worst} (in {len(marked)} of {len(processes)} processes)"


def _figures(samples: Sequence[ProcessSamples], name: str) -> list[float]:
    return [value for one in samples if (value := getattr(one, name)) is not None]
