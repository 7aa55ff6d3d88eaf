"""The roofline: operations on each byte, and the most that arithmetic and memory allow together."""

from __future__ import annotations

from densebench.results.ceilings import Ceilings
from densebench.results.record import Record

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


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
