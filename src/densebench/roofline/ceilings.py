"""Ceilings that were measured earlier on this machine, in the user's cache folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from densebench import files
from densebench.results.ceilings import Ceiling, Ceilings, highest, in_order

METHOD = 2  # raised when what is measured changes, so that older files are passed over


def cached(environment_id: str, device: str, threads: int) -> Ceilings | None:
    """Ceilings that were measured earlier in this environment; None where there are none that can be read."""
    path = _file(environment_id, device, threads)
    try:
        found = Ceilings.model_validate_json(path.read_bytes()) if path else None
    except (OSError, ValidationError):
        return None
    return found if found and (found.device, found.threads) == (device, threads) else None


def keep(ceilings: Ceilings, environment_id: str) -> Ceilings:
    """Write them to the cache, if there is a place for it; the highest of what was there and of these."""
    together = highest(ceilings, cached(environment_id, ceilings.device, ceilings.threads))
    compute = {
        name: Ceiling(gop_per_s=one.gop_per_s, engine=one.engine) for name, one in together.compute.items()
    }
    together = together.model_copy(update={"compute": in_order(compute)})
    path = _file(environment_id, ceilings.device, ceilings.threads)
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, together.model_dump_json(indent=2) + "\n")
    return together


def _file(environment_id: str, device: str, threads: int) -> Path | None:
    """The file in the user's cache folder; None without a home folder."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(given) if given else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "densebench" / "ceilings" / f"{environment_id}-{device}-{threads}-{METHOD}.json"
