"""Putting stand-in jobs into the children of a fork server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

FAMILY = "family"  # file in a job's folder: the numbers of the child and of what it started


def on_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with `sitecustomize.py` of this folder found first."""
    path = [str(Path(__file__).parent), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}
