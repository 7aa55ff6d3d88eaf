"""The run's ceilings as its header keeps them, and what precisions are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from densebench.measure.ceilings import Ceilings

NAMES = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16", "int8": "INT8"}


def called(precision: str) -> str:
    """A precision's name in text, or "" where it isn't known."""
    return NAMES.get(precision, precision)


def ceilings_of(environment: Mapping[str, Any]) -> Ceilings | None:
    """The ceilings in a header's environment; None where none were measured, or another version wrote them."""
    try:
        return Ceilings.model_validate(environment.get("ceilings"))
    except ValidationError:
        return None
