"""Linear layers whose weights have 2:4 zeros, compressed for the sparse tensor cores of a CUDA GPU.

The file keeps the weights as they are, zeros and all: the compressed form belongs to one kernel library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS, COLUMNS = (
    32,
    64,
)  # a 16-bit weight's sides are multiples of these, or CUTLASS refuses it; cuSPARSELt asks less


def compressible(core: nn.Module, device: str) -> list[str]:
    """The linear layers that this device's sparse kernels take; none without a CUDA GPU from Ampere on."""
    import torch
    from torch import nn

    if device != "cuda" or torch.cuda.get_device_capability() < (8, 0):
        return []
    return [name for name, m in core.named_modules() if isinstance(m, nn.Linear) and _two_of_four(m.weight)]


def _two_of_four(weight: Tensor) -> bool:
    import torch

    rows, columns = weight.shape
    if type(weight.data) is not torch.Tensor or weight.dtype not in (torch.float16, torch.bfloat16):
        return False
    if rows % ROWS or columns % COLUMNS:
        return False
    return bool(((weight.view(rows, -1, 4) != 0).sum(dim=-1) <= 2).all())


def compress(core: nn.Module, names: Iterable[str]) -> None:
    """Replace the weights of these linear layers, on a CUDA device, by their compressed form."""
    import torch
    from torch.sparse import to_sparse_semi_structured

    for name in names:
        layer = core.get_submodule(name)
        sparse = to_sparse_semi_structured(layer.weight.detach().contiguous())  # type: ignore[operator]
        layer.weight = torch.nn.Parameter(sparse, requires_grad=False)
