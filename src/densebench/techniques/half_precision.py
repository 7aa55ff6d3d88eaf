"""Weights and computation in a 16-bit floating-point format: half the bytes, and faster units where they exist.

FP16 keeps 11 significant bits and a narrow range; BF16 keeps 8 bits and FP32's range. The boundary stays FP32:
the casts are inside the model and inside what is timed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from densebench.machine.facts import emulated
from densebench.schema import Caveat
from densebench.techniques.base import Technique

if TYPE_CHECKING:
    from torch import nn

    from densebench.workloads.base import Workload


def half_precision(
    model: nn.Module,
    workload: Workload | None = None,  # noqa: ARG001
    *,
    dtype: str = "bfloat16",
) -> nn.Module:
    """Cast all floating-point weights and the images to `dtype` ("float16" or "bfloat16")."""
    from densebench.model.adapter import DTYPES, served

    changed = served(model, dtype=dtype)
    changed.core.to(DTYPES[dtype])
    return changed


QUANTIZE = Technique(
    "quantize",
    "weights and computation in FP16",
    partial(half_precision, dtype="float16"),
    changes="precision",
    aliases=("half",),
    precision=lambda device: "float16",
    gives=frozenset({"float16"}),
    tolerance=1e-2,
    least_sqnr_db=50.0,
    slow=partial(emulated, "float16"),
    caveat=Caveat(
        text="FP16 overflows above 65,504: check a model of your own for infinities.",
    ),
)
BF16 = Technique(
    "bf16",
    "weights and computation in BF16",
    partial(half_precision, dtype="bfloat16"),
    changes="precision",
    precision=lambda device: "bfloat16",
    gives=frozenset({"bfloat16"}),
    tolerance=3e-2,
    least_sqnr_db=35.0,
    slow=partial(emulated, "bfloat16"),
)
