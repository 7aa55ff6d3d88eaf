"""What a journal says of its run beside the rows: its first line, and a line for each resume that adds to it."""

from __future__ import annotations

from itertools import product
from typing import Any

from pydantic import BaseModel, Field, field_validator

from densebench.blanks import Known
from densebench.measure.ceilings import ceilings_of
from densebench.measure.energy import METHODS
from densebench.record import Frozen

FORMAT_VERSION = 1
Cells = tuple[tuple[str, int], ...]  # recipe and batch size


class _Looked(BaseModel):
    """What readers look up in a spec."""

    recipes: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    named: dict[str, str] = Field(default={})
    rounds: int = 0
    precision_target: float = 2.0
    max_accuracy_drop: float = 1.0
    log_dir: str = ""


def _checked(spec: dict[str, Any]) -> dict[str, Any]:
    _Looked.model_validate(spec)
    return spec


def _cells(spec: dict[str, Any]) -> Cells:
    looked = _Looked.model_validate(spec)
    return tuple(dict.fromkeys(product(looked.recipes, looked.batch_sizes)))


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

    @field_validator("spec")
    @classmethod
    def _readable(cls, spec: dict[str, Any]) -> dict[str, Any]:
        return _checked(spec)

    @property
    def known(self) -> Known:
        """What rows need to know of the machine, to say why figures are blank."""
        ceilings = ceilings_of(self.ceilings)
        return Known(
            no_energy="" if self.energy in METHODS else self.energy or "the machine was not surveyed",
            ceiling_threads=ceilings.threads if ceilings else None,
            precisions=frozenset(ceilings.compute) if ceilings else frozenset(),
            clock_step_us=self.clock_step_us,
        )

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
                # neither alone would give these rows
                "command": f"{self.command} && {more.command}" if other else self.command,
                "asked": tuple(dict.fromkeys([*self.planned, *_cells(more.spec)])) if other else self.asked,
            }
        )


class Resume(Frozen):
    """What a resume was asked for and warned of; its identity is the run's."""

    spec: dict[str, Any]
    notes: tuple[str, ...] = ()
    command: str
    started_at: str

    @field_validator("spec")
    @classmethod
    def _readable(cls, spec: dict[str, Any]) -> dict[str, Any]:
        return _checked(spec)
