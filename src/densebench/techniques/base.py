"""What a technique is: a function that changes a model, with one thin registration under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


THREADS = "OMP_NUM_THREADS"  # the variable that says how many threads an inference runs on
DEVICES = ("cpu", "cuda")  # that there are techniques and engines for


class Options(BaseModel):
    """A step's options; a technique or engine without any uses this class as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, eq=False)  # a registration is itself alone, and can be a key
class Technique:
    """One way to change a model.

    Args:
        name: how recipes call it.
        about: one line for `densebench list`.
        apply: `(model, workload, **options) -> model`; it leaves the model it is given as it is. One that takes
            long may have a parameter `progress` beside its options, to be called with a few words now and then.
        changes: what it decides: of the model `precision`, `layout` or `weights`; of the process `allocator`, `pages`
            or `threads`. Two techniques that decide the same thing don't stack, and `after` names the things
            that must not have been decided before this one.
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
        devices: those that it can run on, whatever is installed.
        unavailable: device -> why it can't run there, or None.
        slow: device -> why it may be very slow there, or None; said when a probe finds it to be.
        caveat: what a deployer should know, or "".

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
    refuses_with: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda options: {}
    tolerance: float = 1e-4
    least_sqnr_db: float = 60.0
    slow_to_apply: bool = False
    typical_s: Callable[..., float] = lambda image_size, **options: 0.0
    environment: Callable[..., Mapping[str, str]] = lambda **options: {}
    devices: tuple[str, ...] = DEVICES
    unavailable: Callable[[str], str | None] = lambda device: None
    slow: Callable[[str], str | None] = lambda device: None
    caveat: str = ""


def unchanged(model: nn.Module, workload: Workload | None = None, **options: object) -> nn.Module:  # noqa: ARG001
    """For a technique that acts on the process and not on the model: a copy behind the boundary."""
    from densebench.served import served

    return served(model)
