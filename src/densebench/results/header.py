"""What a journal says of its run: its first line, and a line for each resume that asks for more."""

from __future__ import annotations

from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from densebench.results.ceilings import ceilings_of, highest
from densebench.results.missing import Known
from densebench.schema import Frozen
from densebench.spec import Limits, Objective

FORMAT_VERSION = 2
RAPL, NVML = "RAPL, processor packages", "NVML, GPU board"
METHODS = (RAPL, NVML)  # of measuring energy; a header's other words say why nothing does
Cells = tuple[tuple[str, int], ...]  # recipe and batch size


class Identity(BaseModel):
    """What all records of a run share; a header's identity may say more, such as the hash of the weights."""

    model: str
    device: str
    image_size: int
    weights: str
    data: str
    threads: int
    seed: int
    environment_id: str


class AskedFor(BaseModel):
    """What readers look up in a spec."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True)

    recipes: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    named: dict[str, str] = Field(default={})
    rounds: int = 0
    focus_rounds: int = 0
    focus_batch_sizes: tuple[int, ...] = ()
    precision_target: float = 2.0
    objective: Objective = "throughput"
    serving_batch_size: int | None = None
    max_accuracy_drop: float = 1.0
    max_latency_ms: float | None = None
    max_memory_mb: float | None = None
    max_size_mb: float | None = None
    log_dir: str = ""

    @property
    def limits(self) -> Limits:
        """What a recommended recipe must keep."""
        return Limits(**self.model_dump(include=set(Limits.model_fields)))


def _checked(spec: dict[str, Any]) -> dict[str, Any]:
    AskedFor.model_validate(spec)
    return spec


def _cells(spec: dict[str, Any]) -> Cells:
    looked = AskedFor.model_validate(spec)
    return tuple(dict.fromkeys(product(looked.recipes, looked.batch_sizes)))


def _highest(now: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Any] | None:
    """The ceilings of two parts of a run, as a header has them."""
    one, other = ceilings_of(now), ceilings_of(before)
    found = highest(one, other) if one else other
    return before if found == other else found.model_dump(mode="json") if found else None


class Header(Frozen):
    """What a run is: what a resume must match, and what a reader needs to repeat it."""

    format_version: int = FORMAT_VERSION
    identity: dict[str, str | int]  # weights, data, image size, device, threads, seed, environment, model
    spec: dict[str, Any]
    environment: dict[str, Any]
    ceilings: dict[str, Any] | None = None  # of the machine, as `measure.ceilings.Ceilings` has them
    energy: str = ""  # what measures energy, or why nothing does
    clock_step_us: float | None = None  # the smallest step of the clock that times calls
    notes: tuple[str, ...] = ()
    command: str
    started_at: str  # UTC, ISO 8601
    asked: Cells = Field(default=(), exclude=True)  # by a run and those that went on with it, where some did
    focus_rounds_at_first: int = Field(default=0, exclude=True)  # where a resume added rounds: before that

    @field_validator("spec")
    @classmethod
    def _readable(cls, spec: dict[str, Any]) -> dict[str, Any]:
        return _checked(spec)

    @property
    def known(self) -> Known:
        """What rows need to know of the machine, to say why figures are blank."""
        return Known(
            no_energy="" if self.energy in METHODS else self.energy or "the machine was not surveyed",
            ceilings=ceilings_of(self.ceilings),
            clock_step_us=self.clock_step_us,
        )

    @property
    def asked_for(self) -> AskedFor:
        """What was asked for, as far as readers look it up."""
        return AskedFor.model_validate(self.spec)

    @property
    def planned(self) -> Cells:
        """The cells that the run was asked for, by all its parts."""
        return self.asked or _cells(self.spec)

    def continued(self, more: Resume) -> Header:
        """The run as it is after a resume: what was asked for in both, and what was seen in either."""
        spec = self.spec | {key: value for key, value in more.spec.items() if key != "resume"}
        spec["recipes"] = list(dict.fromkeys([*self.spec.get("recipes", ()), *more.spec.get("recipes", ())]))
        other = spec != {"recipes": [], **self.spec}
        return self.model_copy(
            update={
                "spec": spec if other else self.spec,
                "notes": tuple(dict.fromkeys([*self.notes, *more.notes])),
                "ceilings": _highest(more.ceilings, self.ceilings) if other else self.ceilings,
                # neither alone would give these rows
                "command": f"{self.command} && {more.command}" if other else self.command,
                "focus_rounds_at_first": self._first_focus_rounds(more),
                "asked": tuple(dict.fromkeys([*self.planned, *_cells(more.spec)])) if other else self.asked,
            }
        )


    def _first_focus_rounds(self, more: Resume) -> int:
        """How many rounds focus batch sizes had at first, if a resume asks for more."""
        before, now = self.asked_for.focus_rounds, AskedFor.model_validate(more.spec).focus_rounds
        return self.focus_rounds_at_first or (before if now > before else 0)


class Resume(Frozen):
    """What a resume was asked for and warned of; its identity is the run's."""

    spec: dict[str, Any]
    ceilings: dict[str, Any] | None = None  # as a header has them
    notes: tuple[str, ...] = ()
    command: str
    started_at: str

    @field_validator("spec")
    @classmethod
    def _readable(cls, spec: dict[str, Any]) -> dict[str, Any]:
        return _checked(spec)
