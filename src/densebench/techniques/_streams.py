"""How many batches are to be answered at once: a count, or `auto`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from densebench.techniques.base import Option


def _whole_number_or_auto(value: object) -> object:
    """A count or `auto`: a union's own message would name only one of the two."""
    if value == "auto":
        return value
    if isinstance(value, int | str) and re.fullmatch(r"[1-9][0-9]{0,2}", str(value)):
        return int(value)
    raise PydanticCustomError("streams", "give a whole number from 1 to 999, or auto")


WholeNumberOrAuto = Annotated[int | Literal["auto"], BeforeValidator(_whole_number_or_auto)]
Streams = Annotated[WholeNumberOrAuto, Option((1, "auto"))]
