"""What kind of work an operator does, told from its name: PyTorch's, a GPU kernel's or another engine's."""

from __future__ import annotations

import re
from enum import IntEnum


class Category(IntEnum):
    """The parts that a step's time is split into; `OUTSIDE` is time of a step in which no operator ran."""

    CONVOLUTION = 0
    NORMALIZATION = 1
    CONCATENATION = 2
    COPIES = 3
    OTHER = 4
    OUTSIDE = 5

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Category.CONVOLUTION: "convolution",
    Category.NORMALIZATION: "normalization",
    Category.CONCATENATION: "concatenation",
    Category.COPIES: "copies and conversions",
    Category.OTHER: "other operators",
    Category.OUTSIDE: "outside operators",
}

_CONCATENATION = re.compile(r"(?<![a-z])cat(?![a-z])|concat|catarray")
_NORMALIZATION = re.compile(r"norm(?!al_)|(?<![a-z])bn_")
_CONVOLUTION = re.compile(r"conv(?!ert)|fprop|winograd|im2col|implicit_gemm")
_COPIES = re.compile(
    r"cop(?:y|ies)|memcpy|memset|clone|contiguous|to_mkldnn|to_dense|reorder|transpose|permute|nchwto|nhwcto"
    r"|convert|(?<![a-z])cast|aten::to(?![a-z])|quantize"
)
# A word that stands in another's name: `CatArrayBatchedCopy` concatenates, `QLinearConv` is a convolution.
_PLAIN = (
    (_CONCATENATION, Category.CONCATENATION),
    (_CONVOLUTION, Category.CONVOLUTION),
    (_NORMALIZATION, Category.NORMALIZATION),
    (_COPIES, Category.COPIES),
)
# Inductor's fused loops carry the names of what they compute; the convolution itself is never one of them.
_FUSED = (
    (_NORMALIZATION, Category.NORMALIZATION),
    (_CONCATENATION, Category.CONCATENATION),
    (_COPIES, Category.COPIES),
    (_CONVOLUTION, Category.OTHER),
)
_IS_FUSED = re.compile(r"(?:^triton_|^cpp_|_)fused_")


def category_of(name: str) -> Category:
    """The category that the name alone tells; `OTHER` where it tells none."""
    low = name.lower()
    for pattern, category in _FUSED if _IS_FUSED.search(low) else _PLAIN:
        if pattern.search(low):
            return category
    return Category.OTHER


_UNSPLIT = re.compile(r"CompiledFxGraph|Compiled Region|AOTInductor|^forward$")


def hides_operators(name: str) -> bool:
    """Whether the operator runs code that PyTorch's profiler sees as one piece: fused loops, fused kernels."""
    return bool(_UNSPLIT.search(name))
