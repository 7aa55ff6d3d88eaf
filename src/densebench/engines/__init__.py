"""One way to run a model per file. Copy `_template.py` to add one."""

from __future__ import annotations

import sys
from functools import cache

from densebench.engines.base import Engine
from densebench.registry import discover


@cache
def catalogue() -> dict[str, Engine]:
    """Every engine by name and alias."""
    return discover(sys.modules[__name__], Engine, "densebench.engines")


def default() -> Engine:
    """The engine of a recipe that names none."""
    return next(engine for engine in catalogue().values() if engine.default)
