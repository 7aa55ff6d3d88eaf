"""One way to change a model per file. Copy `_template.py` to add one."""

from __future__ import annotations

import sys
from functools import cache

from densebench.registry import discover
from densebench.techniques.base import Technique


@cache
def catalogue() -> dict[str, Technique]:
    """Every technique by name and alias."""
    return discover(sys.modules[__name__], Technique, "densebench.techniques")
