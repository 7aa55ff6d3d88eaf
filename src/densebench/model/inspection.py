"""What a PyTorch model is seen to do while it runs: precision and layout at its layers, multiplications, zeros."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from densebench.model.pruned_shapes import channels_removed, constructed_shape
from densebench.schema import Effect

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Seen:
    """Counts over one inference; multiply-accumulates (MACs) are of one image."""

    convolutions: Counter[str] = field(default_factory=Counter)  # output precision -> layers
    layouts: Counter[str] = field(default_factory=Counter)  # of inputs that differ between NHWC and NCHW
    linears: Counter[str] = field(default_factory=Counter)  # weight format -> layers
    # "int8" for quantized weights, else output precision; "other" for products outside of layers, as attention has
    macs: Counter[str] = field(default_factory=Counter)
    activations: int = 0  # elements of one image that layers and other products read and write
    constructed_macs: int = (
        0  # with all the channels that the layers were constructed with, other products as they are
    )


def observe(core: nn.Module, run: Callable[[Tensor], object], images: Tensor) -> Seen:
    """Call `run(images)` once; watch the convolutions and linear layers of `core`, and count all other products."""
    import torch
    from torch import nn

    from densebench.model.products import counting

    seen = Seen()

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        precision = str(output.dtype).removeprefix("torch.")
        if isinstance(module, nn.Conv2d):
            seen.convolutions[precision] += 1
            nhwc, nchw = inputs[0].is_contiguous(memory_format=torch.channels_last), inputs[0].is_contiguous()
            if nhwc != nchw:  # a single pixel or channel lies the same way in both
                seen.layouts["NHWC" if nhwc else "NCHW"] += 1
            kernel = module.weight[0].numel()  # input channels of one group x height x width
            positions = output.numel() // module.out_channels // len(images)
        else:
            assert isinstance(module, nn.Linear)
            precision = formats[module] or precision
            seen.linears[precision] += 1
            kernel = module.in_features
            positions = output.numel() // module.out_features // len(images)
        seen.macs[precision] += output.numel() // len(images) * kernel
        seen.activations += (inputs[0].numel() + output.numel()) // len(images)
        seen.constructed_macs += positions * math.prod(constructed_shape(module))

    layers = [m for m in core.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    formats = {m: _weight_format(m) for m in layers}
    hooks = [m.register_forward_hook(watch) for m in layers]
    try:
        with torch.inference_mode(), counting(layers) as others:
            run(images)
    finally:
        for hook in hooks:
            hook.remove()
    for kind, macs in others.macs.items():
        seen.macs[kind] += macs // len(images)
        seen.constructed_macs += macs // len(images)
    seen.activations += others.elements // len(images)
    return seen


def _weight_format(layer: nn.Conv2d | nn.Linear) -> str:
    """What a weight is that is no plain tensor; quantized tensors are subclasses."""
    import torch

    weight = layer.weight.data
    if isinstance(weight, torch.sparse.SparseSemiStructuredTensor):
        return "2:4 sparse"
    return "" if type(weight) is torch.Tensor else "int8"


def zero_fraction(core: nn.Module) -> float:
    """The share of exact zeros among the weights of convolutions and linear layers."""
    from torch import nn

    weights = [m.weight for m in core.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    total = sum(w.numel() for w in weights)
    return sum(int((w == 0).sum()) for w in weights if type(w.data).__module__ == "torch") / max(total, 1)


def describe_effect(core: nn.Module, seen: Seen) -> list[str]:
    """Each way in which the execution is seen to differ from FP32 NCHW, in a few words with its extent."""
    precisions = describe_precisions(seen.convolutions)
    return [*precisions, *describe_layout(seen.layouts), *describe_weights(core, seen)]


def describe_precisions(convolutions: Counter[str]) -> list[str]:
    """The precisions other than FP32."""
    total = convolutions.total()
    return [f"{p} convolutions {n}/{total}" for p, n in convolutions.items() if p != "float32"]


def describe_layout(layouts: Counter[str]) -> list[str]:
    """How many convolutions read NHWC, of those for which it makes a difference."""
    nhwc = layouts["NHWC"]
    return [f"NHWC convolutions {nhwc}/{layouts.total()}"] if nhwc else []


def describe_weights(core: nn.Module, seen: Seen) -> list[str]:
    """What differs in the weights: their format, how many there are, how many are zero."""
    said = []
    for kind in ("int8", "2:4 sparse"):
        if seen.linears[kind]:
            share = 100 * seen.macs[kind] / max(seen.macs.total(), 1)
            said.append(
                f"{kind} linear layers {seen.linears[kind]}/{seen.linears.total()}, {share:.2g} % of the MACs"
            )
    removed, whole = channels_removed(core)
    if removed:
        share = 100 * (1 - seen.macs.total() / max(seen.constructed_macs, 1))
        said.append(f"{describe_removed(removed, whole)}, {share:.0f} % of the MACs")
    return [*said, *describe_zeros(zero_fraction(core))]


def describe_removed(removed: int, whole: int) -> str:
    """Channels that the model as constructed had."""
    return f"{removed:,} of {whole:,} channels removed"


def describe_zeros(share: float) -> list[str]:
    """A share of zeros that is no accident."""
    return [f"{100 * share:.1f} % of the weights are zero, multiplied all the same"] if share > 0.001 else []


def unseen(claimed: str, convolutions: Counter[str]) -> Effect | None:
    """No effect, where convolutions ran and not one of them in the precision that the recipe claims; else None."""
    total = convolutions.total()
    if claimed == "float32" or not total or convolutions[claimed]:
        return None
    seen = ", ".join(f"{precision} convolutions {n}/{total}" for precision, n in convolutions.most_common())
    return Effect(none_because=f"no convolution runs in {claimed} (seen: {seen})")
