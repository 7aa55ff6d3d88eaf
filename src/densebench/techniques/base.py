"""What a technique is: a function that changes a model, with one thin registration under it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from densebench.schema import Caveat, Effect

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


DEVICES = ("cpu", "cuda")  # that there are techniques and engines for


class Options(BaseModel):
    """A step's options; a technique or engine without any uses this class as it is.

    An option that says what it `needs` is refused where that has another value: it would change nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _needs_another(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        declared, fields = worth_trying(cls).get(name), cls.model_fields
        if declared is None or value == fields[name].default:
            return value
        for other, needed in declared.needs.items():
            if info.data.get(other, fields[other].default) != needed:
                shown = str(needed).lower() if isinstance(needed, bool) else needed
                raise PydanticCustomError("unused", f"needs {other}={shown} before it")
        return value


@dataclass(frozen=True)
class Option:
    """What a search may try of an option. It stands in the option's type: `Annotated[int, Option((4, 8, 16))]`.

    Args:
        values: worth trying, the option's default among them, the likeliest to help first.
        cost: what the step's build takes with these values, as a multiple of what it takes with the default: one
            number for all values, or one for each. 0 needs no build of its own.
        needs: option -> the value that it must have for this option to mean anything.

    """

    values: tuple[object, ...]
    cost: float | tuple[float, ...] = 1.0
    needs: Mapping[str, object] = field(default_factory=dict)

    def costs(self) -> dict[object, float]:
        """The cost of each value."""
        each = self.cost if isinstance(self.cost, tuple) else (self.cost,) * len(self.values)
        return dict(zip(self.values, each, strict=True))


def _whole_number_or_auto(value: object) -> object:
    """A count or `auto`: a union's own message would name only one of the two."""
    if value == "auto":
        return value
    if isinstance(value, int | str) and re.fullmatch(r"[1-9][0-9]{0,2}", str(value)):
        return int(value)
    raise PydanticCustomError("streams", "give a whole number from 1 to 999, or auto")


WholeNumberOrAuto = Annotated[int | Literal["auto"], BeforeValidator(_whole_number_or_auto)]
Streams = Annotated[WholeNumberOrAuto, Option((1, "auto"))]


def worth_trying(options: type[Options]) -> dict[str, Option]:
    """What may be tried of each option that declares it, by the option's name."""
    return {
        name: declared
        for name, field in options.model_fields.items()
        for declared in field.metadata
        if isinstance(declared, Option)
    }


@dataclass(frozen=True, eq=False)  # a registration is itself alone, and can be a key
class Technique:
    """One way to change a model.

    Args:
        name: how recipes call it.
        about: one line for `densebench list`.
        apply: `(model, workload, **options) -> model`; it leaves the model it is given as it is. One that takes
            long may have a parameter `progress` beside its options, to be called with a few words now and then.
        changes: what it decides: of the model `precision`, `layout` or `weights`; of the process `allocator`,
            `pages`, `threads` or `instances`. Two techniques that decide the same thing don't stack, and `after`
            names the things that must not have been decided before this one.
        precision: device -> what most multiplications of the result run in there (`float32`,
            `bfloat16`, `float16` or `int8`), or None where that stays as it was.
        gives: words about the result that an engine or another technique may refuse (`bfloat16`, `autocast`).
        refuses_with: options -> word that another technique of the stack `gives`, before or after this one -> why
            the two don't go together.
        tolerance: relative L2 difference allowed between a saved model's outputs and the reloaded one's.
        least_sqnr_db: the least signal-to-noise ratio against FP32 outputs that is no sign of a mistake.
        slow_to_apply: whether it takes so long that a sweep does it once for all recipes that begin alike.
        typical_s: `(image_size, **options) -> seconds` that it is known to take on DenseNet-121, for estimates only.
        environment: `(**options) -> variables` that a process measuring the result must start with. It may raise
            `Unavailable`, saying what to install.
        observed: variable of `environment` -> (its value -> what it is seen to do). It is asked after an inference in
            a process that was started with it.
        devices: those that it can run on, whatever is installed.
        unavailable: device -> why it can't run there, or None.
        slow: device -> why it may be very slow there, or None; said when a probe finds it to be.
        caveat: what a deployer should know, or None.

    """

    name: str
    about: str
    apply: Callable[..., nn.Module]
    changes: str
    aliases: tuple[str, ...] = ()
    options: type[Options] = Options
    after: Mapping[str, str] = field(default_factory=dict)
    precision: Callable[[str], str | None] = lambda device: None
    gives: frozenset[str] = frozenset()
    refuses_with: Callable[[Mapping[str, object]], Mapping[str, str]] = lambda options: {}
    tolerance: float = 1e-4
    least_sqnr_db: float = 60.0
    slow_to_apply: bool = False
    typical_s: Callable[..., float] = lambda image_size, **options: 0.0
    environment: Callable[..., Mapping[str, str]] = lambda **options: {}
    observed: Mapping[str, Callable[[str], Effect]] = field(default_factory=dict)
    devices: tuple[str, ...] = DEVICES
    unavailable: Callable[[str], str | None] = lambda device: None
    slow: Callable[[str], str | None] = lambda device: None
    caveat: Caveat | None = None


def unchanged(model: nn.Module, workload: Workload | None = None, **options: object) -> nn.Module:  # noqa: ARG001
    """For a technique that acts on the process and not on the model: a copy behind the boundary."""
    from densebench.model.adapter import served

    return served(model)
