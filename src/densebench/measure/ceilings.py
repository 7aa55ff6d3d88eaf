"""What this machine can do at most, per precision and in copying memory; a row's share of it; and its cache.

A model whose every multiplication ran at the ceiling of its precision would have a share of 1. Layers that wait
for memory, and time outside of convolutions, are what keeps it below. Source: Williams et al., "Roofline: An
Insightful Visual Performance Model for Multicore Architectures", 2009.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from densebench import atomic
from densebench.record import Frozen, Record

NAMES = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16", "int8": "INT8"}
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
METHOD = 1  # raised when what is measured changes, so that older files are passed over


class Ceiling(Frozen):
    """1e9 operations a second (a multiplication and an addition are two), and the engine that reached them."""

    gop_per_s: float = Field(gt=0)
    engine: str


class Ceilings(Frozen):
    """By precision (`float32`, `bfloat16`, `float16`, `int8`); one that no engine runs here is not there."""

    device: str
    threads: int
    compute: dict[str, Ceiling]
    memory_gb_per_s: float = Field(gt=0)  # bytes read and bytes written, 1e9 a second
    disturbance: str = ""  # what else used the machine meanwhile: it could do more than was measured


def called(precision: str) -> str:
    """A precision's name in text."""
    return NAMES.get(precision, precision)


def share(macs_g: float | None, throughput: float | None, precision: str, ceilings: Ceilings) -> float | None:
    """The share of its precision's ceiling that a row reaches, or None where one of them isn't known.

    It may pass 1: where an algorithm saves multiplications (Winograd's), or the ceiling was measured while other
    work was running.

    Args:
        macs_g: multiply-accumulates of one image, 1e9.
        throughput: images a second.
        precision: what most of its multiplications run in, as `Recipe.precision` says.
        ceilings: of the machine that it was measured on.

    """
    ceiling = ceilings.compute.get(precision)
    if macs_g is None or throughput is None or ceiling is None:
        return None
    return 2 * macs_g * throughput / ceiling.gop_per_s


def intensity(row: Record) -> float | None:
    """Operations on each byte that must move at least, or None where the model wasn't counted.

    Layer after layer, each convolution and linear layer reads its input and its weights and writes its output, all
    in the row's precision, and whatever stands between them is fused into them. A larger batch shares the weights.
    Caches that keep a layer's output for the next one make it less; what isn't fused, or is in FP32, makes it more.
    """
    item = ITEM_BYTES.get(row.precision)
    if row.macs_g is None or not row.activations or row.parameters is None or item is None:
        return None
    moved = item * (row.batch_size * row.activations + row.parameters)
    return 2e9 * row.macs_g * row.batch_size / moved


def roof(intensity: float, precision: str, ceilings: Ceilings) -> float:
    """The most that arithmetic and memory allow together, 1e9 operations a second; the precision has a ceiling."""
    return min(ceilings.compute[precision].gop_per_s, intensity * ceilings.memory_gb_per_s)


def ceilings_of(kept: Mapping[str, Any] | None) -> Ceilings | None:
    """The ceilings as a run's header keeps them; None where none were measured, or another version wrote them."""
    try:
        return Ceilings.model_validate(kept)
    except ValidationError:
        return None


def cached(environment_id: str, device: str, threads: int) -> Ceilings | None:
    """Ceilings that were measured earlier in this environment; None where there are none that can be read."""
    path = _file(environment_id, device, threads)
    try:
        found = Ceilings.model_validate_json(path.read_bytes()) if path else None
    except (OSError, ValidationError):
        return None
    return found if found and (found.device, found.threads) == (device, threads) else None


def keep(ceilings: Ceilings, environment_id: str) -> None:
    """Write them to the cache. Disturbed ones, or without a place to write to, are measured again next time."""
    path = _file(environment_id, ceilings.device, ceilings.threads)
    if path is None or ceilings.disturbance:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, ceilings.model_dump_json(indent=2) + "\n")
    except OSError:
        return


def _file(environment_id: str, device: str, threads: int) -> Path | None:
    """The file in the user's cache folder; None without a home folder."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(given) if given else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "densebench" / "ceilings" / f"{environment_id}-{device}-{threads}-{METHOD}.json"
