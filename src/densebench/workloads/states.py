"""Turns whatever a checkpoint holds into the complete, checked state dict of a torchvision model.

Trainers wrap and rename: `{"state_dict": ...}`, `module.` in front of every key (DataParallel), `model.`
(Lightning). Those habits are undone here, and what can't be benchmarked as a single-label classifier is
refused in one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from densebench.errors import InputError
from densebench.workloads.models import COLOURS, construct, head_weight, stem_weight

if TYPE_CHECKING:
    from torch import Tensor

_NAMED = 3  # keys that an error names
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
_OLD_DENSENET = re.compile(
    r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"
)  # norm.1.weight, now norm1.weight


@dataclass(frozen=True)
class FittedState:
    """A complete state dict (floats as float32, contiguous, on the CPU), and the sizes that it shows."""

    tensors: dict[str, Tensor]
    num_classes: int
    channels: int


def unwrap(loaded: object, source: str) -> dict[str, Tensor]:
    """The named tensors in what a checkpoint file held, under plain names.

    Args:
        loaded: a state dict, perhaps inside a dict beside an optimizer's state and the like.
        source: what to call the file in an error.

    Raises:
        InputError: there is no state dict in it.

    """
    import torch

    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise InputError(f"{source} holds no state dict: save it with torch.save(model.state_dict(), FILE)")
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise InputError(f"{source} holds no weights: save it with torch.save(model.state_dict(), FILE)")
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in tensors)), ""):
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
    return {_OLD_DENSENET.sub(r"\1\2", k): v for k, v in tensors.items()}


def fit_state(tensors: dict[str, Tensor], model_name: str, source: str) -> FittedState:
    """Check that these tensors are the weights of this model, and complete them.

    The last layer says how many classes there are, the first convolution how many channels. Counters of
    batch normalization, which old files lack, are added; an auxiliary classifier for training is dropped.

    Raises:
        InputError: names or shapes differ from the model's, a weight is not finite, or the file is of a
            multi-label model.

    """
    import torch

    frame = construct(model_name, 2, COLOURS)
    head, stem = head_weight(frame), stem_weight(frame)
    _refuse_multi_label(tensors, head, source)
    tensors = {k: v for k, v in tensors.items() if not k.startswith(("aux1.", "aux2.", "AuxLogits."))}
    if not (head in tensors and stem in tensors and tensors[head].ndim > 1 and tensors[stem].ndim > 1):
        raise _mismatch(set(frame.state_dict()), set(tensors), model_name, source)
    num_classes, channels = int(tensors[head].shape[0]), int(tensors[stem].shape[1])
    if channels not in (1, COLOURS):
        raise InputError(f"{source} is for images of {channels} channels: only 1 or 3 can be benchmarked")
    if num_classes == 1:
        raise InputError(f"{source} has one output only: give it one output per class to rank them")
    expected = construct(model_name, num_classes, channels).state_dict()
    counters = {k: torch.tensor(0) for k in expected if k.endswith("num_batches_tracked")}
    tensors = counters | tensors
    if set(expected) != set(tensors):
        raise _mismatch(set(expected), set(tensors), model_name, source)
    for name, wanted in expected.items():
        if tensors[name].shape != wanted.shape:
            shapes = f"{tuple(tensors[name].shape)}, not {tuple(wanted.shape)}"
            raise InputError(f"{source} is not a {model_name}: {name} has shape {shapes} (see --model)")
    complete = {name: _plain(tensors[name], expected[name], f"{source}: {name}") for name in expected}
    return FittedState(complete, num_classes, channels)


def _plain(value: Tensor, wanted: Tensor, what: str) -> Tensor:
    """The value as a dense, finite CPU tensor of the wanted dtype, with storage of its own.

    Saved views may share one storage; fine-tuning one of them would change the other.
    """
    import torch

    if value.is_sparse or value.is_quantized or value.is_floating_point() != wanted.is_floating_point():
        raise InputError(f"{what} is {value.dtype}, not a plain {wanted.dtype} tensor: save it unquantized")
    value = value.detach().to(device="cpu", dtype=wanted.dtype, copy=True).contiguous()
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{what} holds values that are not finite: train or save it again")
    return value


def _refuse_multi_label(tensors: Mapping[str, Tensor], head: str, source: str) -> None:
    """TorchXRayVision's files carry thresholds; CheXNet's head is a Sequential that ends in a sigmoid."""
    layer = head.removesuffix(".weight")
    chexnet = any(k.endswith(f"{layer}.0.weight") for k in tensors) and not any(
        k == head or k.endswith("." + head) for k in tensors
    )
    if chexnet or any(k.endswith("op_threshs") for k in tensors):
        raise InputError(
            f"{source} is a multi-label model (several findings per image), which has no top-1 accuracy: "
            "use a single-label checkpoint"
        )


def _mismatch(expected: set[str], found: set[str], model_name: str, source: str) -> InputError:
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    parts = [
        f"{kind} {', '.join(names[:_NAMED])}"
        + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        for kind, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    return InputError(f"{source} is not a {model_name}: {'; '.join(parts)} (see --model)")
