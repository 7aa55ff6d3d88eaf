"""The frozen base of what passes between stages, and the small types that many of them share.

Text is made of these at the end, for a reader; no stage reads it back.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Frozen(BaseModel):
    """Base of what passes between stages: validated, immutable, finite, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Effect(Frozen):
    """How a saved model was seen to differ from plain FP32 execution; as text, what the column `effect` says.

    Args:
        seen: each difference with its extent, in a few words (`int8 convolutions 119/120`).
        none_because: why there is none. `seen` may then hold what helps to understand that.

    """

    seen: tuple[str, ...] = ()
    none_because: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.seen or self.none_because):
            raise ValueError("an effect says what was seen, or why there is none")
        return self

    def plus(self, *more: str) -> Self:
        """The same, with more that was seen."""
        return self.model_copy(update={"seen": (*self.seen, *more)})

    def __str__(self) -> str:
        return f"none: {self.why_none}" if self.none_because else "; ".join(self.seen)

    @property
    def why_none(self) -> str:
        """Why there is none, with all that is known; empty where something was seen."""
        return "; ".join((self.none_because, *self.seen)) if self.none_because else ""


class Caveat(Frozen):
    """What a deployer should know of a technique or of an engine's format, in a sentence or two."""

    text: str
    kind: Literal["deprecation", "portability", "other"] = "other"
