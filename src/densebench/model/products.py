"""Products of tensors that no convolution or linear layer computes as a module: attention's, for one.

An attention module hands the weights of its projections to a function, so hooks on layers see nothing of these. The
products of queries, keys and values have no layer at all. PyTorch's dispatcher sees all of them as operators, and its
FLOP counter has a formula for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

OTHER = "other"
_ATEN = torch.ops.aten
_INTEGERS = _ATEN._int_mm  # noqa: SLF001


def _attention_operations(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
    """Queries times keys, and the result times values; a multiplication and an addition are two operations."""
    return 2 * query[..., 0].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])


# `FlopCounterMode` has the same formulas, but none for integers and for the kernel that CPUs have for attention, and
# tells neither operands nor which products are a layer's
OPERATIONS = {
    **flop_registry,
    _INTEGERS: flop_registry[_ATEN.mm],
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention_operations,  # noqa: SLF001
}
# operators with a weight -> which operand is neither weight nor bias
OF_A_WEIGHT = {_ATEN.addmm: 1, _ATEN.mm: 0, _INTEGERS: 0, _ATEN.convolution: 0}


@dataclass
class Products:
    """Multiply-accumulates of the whole batch, and elements that they read and write, weights left out."""

    macs: Counter[str] = field(default_factory=Counter)  # INT8 for products of integers, else OTHER
    elements: int = 0


@contextmanager
def counting(layers: Sequence[nn.Module]) -> Iterator[Products]:
    """Count what is multiplied within this context, but not during a call of one of these layers.

    `nn.MultiheadAttention` has a fused operator without a formula: in this context it runs operator by operator.
    """
    outside = _Outside()
    hooks = [m.register_forward_pre_hook(outside.enter) for m in layers]
    hooks += [m.register_forward_hook(outside.leave, always_call=True) for m in layers]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with outside:
            yield outside.products
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for hook in hooks:
            hook.remove()


class _Outside(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator, and counts those that run outside of the layers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = Products()
        self._within = 0  # layers whose call is under way

    def enter(self, *_: object) -> None:
        self._within += 1

    def leave(self, *_: object) -> None:
        self._within -= 1

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        operator = func._overloadpacket  # noqa: SLF001 - as the formulas are named
        if not (self._within or types or operator in OPERATIONS):
            with self:  # what the operator is made of may have a formula
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        if not self._within and operator in OPERATIONS:
            kind = "int8" if operator is _INTEGERS else OTHER
            self.products.macs[kind] += OPERATIONS[operator](*args, **kwargs, out_val=output) // 2
            self.products.elements += _elements(operator, args, output)
        return output


def _elements(operator: object, args: Sequence[object], output: object) -> int:
    """Elements that an operator reads and writes; a weight is not counted, repeated for each image or not."""
    read = [args[OF_A_WEIGHT[operator]]] if operator in OF_A_WEIGHT else args
    written = output[0] if isinstance(output, tuple) else output
    tensors = [one for one in (*read, written) if isinstance(one, Tensor) and 0 not in one.stride()]
    return sum(one.numel() for one in tensors)
