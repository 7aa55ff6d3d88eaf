"""A recipe: zero or more techniques that change the model, then one engine that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from densebench import engines
from densebench.engines.base import Engine
from densebench.errors import Unavailable
from densebench.schema import Caveat
from densebench.techniques.base import Technique, unchanged
from densebench.text import folder_name

T = TypeVar("T", Technique, Engine)


@dataclass(frozen=True)
class Step(Generic[T]):
    """A technique or engine with its options, all of them checked."""

    what: T
    options: Mapping[str, object]

    @property
    def line(self) -> str:
        given: dict[str, object] = self.what.options.model_validate(self.options).model_dump(
            exclude_defaults=True
        )
        return ":".join([self.what.name, *(f"{k}={_text(v)}" for k, v in given.items())])


@dataclass(frozen=True)
class Recipe:
    """A named stack that is known to be legal."""

    name: str
    techniques: tuple[Step[Technique], ...]
    engine: Step[Engine]

    @property
    def steps(self) -> tuple[Step[Technique] | Step[Engine], ...]:
        """The techniques in order, then the engine."""
        return (*self.techniques, self.engine)

    @property
    def line(self) -> str:
        """The one-line form, without options that have their default value."""
        return "+".join(step.line for step in self.steps)

    @property
    def folder(self) -> str:
        """The recipe's name as a folder's name."""
        return folder_name(self.name)

    @property
    def tolerance(self) -> float:
        """Relative L2 difference allowed between outputs at build and after a reload."""
        return max([self.engine.what.tolerance, *(step.what.tolerance for step in self.techniques)])

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What a deployer of this recipe should know."""
        return tuple(step.what.caveat for step in self.steps if step.what.caveat)

    def precision(self, device: str) -> str:
        """What most multiplications run in on this device: `float32`, `bfloat16`, `float16` or `int8`."""
        if inside := self.engine.what.precision(self.engine.options):
            return inside
        changed = [one for step in self.techniques if (one := step.what.precision(device))]
        return changed[-1] if changed else "float32"

    def environment(self) -> dict[str, str]:
        """Variables that a process must start with to run this recipe as it is meant.

        Raises:
            Unavailable: a library that they need is not installed.

        """
        variables: dict[str, str] = {}
        for step in self.techniques:
            variables |= step.what.environment(**step.options)
        return variables

    @property
    def only_sets_the_process(self) -> bool:
        """Whether the techniques leave the model as it is, and the engine is the default one."""
        return (
            bool(self.techniques)
            and self.engine.what.default
            and all(step.what.apply is unchanged for step in self.techniques)
        )

    def unavailable(self, device: str) -> str | None:
        """Why the recipe can't run on this device, or None."""
        for step in self.steps:
            reason: str | None = step.what.unavailable(device)
            if reason:
                return reason
        try:
            self.environment()
        except Unavailable as lacking:  # it depends on the options, which only this takes
            return str(lacking)
        return None

    def typical_build_s(self, image_size: int) -> float:
        """Seconds that techniques and engine are known to take for DenseNet-121, for estimates only."""
        changing = sum(step.what.typical_s(image_size, **step.options) for step in self.techniques)
        return changing + self.engine.what.typical_build_s

    def unfit(self, file: str) -> str | None:
        """Why the recipe can't run an ONNX file of this name, which is no PyTorch model, or None."""
        able = {engine.name for engine in engines.catalogue().values() if engine.takes_onnx}
        where = f"{file} runs in {', '.join(sorted(able))}"
        for step in self.techniques:
            if step.what.apply is not unchanged:
                return f"{step.what.name} changes a PyTorch model; {where}"
        engine = self.engine.what
        return None if engine.takes_onnx else f"{engine.name} runs PyTorch models; {where}"

    def slow(self, device: str) -> str | None:
        """Why the recipe may be very slow on this device, or None."""
        return next((reason for step in self.techniques if (reason := step.what.slow(device))), None)


def _text(value: object) -> str:
    """An option's value as it is written in a recipe, to be read back as the same value."""
    if isinstance(value, float):
        short = f"{value:g}"
        return (short if float(short) == value else repr(value)).replace("e+", "e")  # + separates steps
    return str(value).lower() if isinstance(value, bool) else str(value)
