"""State dicts in safetensors files, each tensor in the form that takes fewest bytes.

A tensor with enough zeros is stored as a bit mask and its other values; a quantized tensor as its integers and
scales. Nothing in such a file can carry code. Reading gives back exactly the tensors that were written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MASKED = "densebench.masked"  # metadata: name -> shape of the tensors stored as mask and values
QUANTIZED = "densebench.quantized"  # metadata: what torchao needs to put its tensors together again
ENTRY_BYTES = 512  # more than the header grows by for a mask: a second entry, and the shape


def save_weights(path: Path, state: Mapping[str, Tensor]) -> str:
    """Write a state dict; the tensors may be on any device and in any memory format.

    Returns how they are stored: `quantized` if any is, else `masked` if any is, else `plain`.
    """
    from safetensors.torch import save_file

    plain, quantized = _flatten_quantized(state)
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    stored: set[int] = set()
    for name, original in plain.items():
        tensor = original.detach().cpu().contiguous()
        if _smaller_masked(tensor):
            shapes[name] = list(tensor.shape)
            tensors |= dict(_mask(name, tensor))
        else:
            shared = tensor.untyped_storage().data_ptr() in stored
            stored.add(tensor.untyped_storage().data_ptr())
            tensors[name] = tensor.clone() if shared else tensor  # safetensors takes no tied tensors
    metadata = {MASKED: json.dumps(shapes)} | ({QUANTIZED: json.dumps(quantized)} if quantized else {})
    save_file(tensors, path, metadata=metadata)
    return "quantized" if quantized else "masked" if shapes else "plain"


def load_weights(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Read a state dict back onto a device."""
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    for name, shape in json.loads(metadata.get(MASKED, "{}")).items():
        tensors[name] = _unmask(tensors.pop(f"{name}.mask"), tensors.pop(f"{name}.values"), shape)
    if QUANTIZED in metadata:
        from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

        whole, plain = unflatten_tensor_state_dict(tensors, json.loads(metadata[QUANTIZED]))
        tensors = whole | plain
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _smaller_masked(tensor: Tensor) -> bool:
    if not tensor.numel():
        return False
    zeros = tensor.numel() - int(_kept(tensor).sum())
    return zeros * tensor.element_size() > math.ceil(tensor.numel() / 8) + ENTRY_BYTES


def _bytes(tensor: Tensor) -> Tensor:
    """A contiguous tensor's bytes, one row for each element."""
    import torch

    return tensor.flatten().view(torch.uint8).reshape(tensor.numel(), tensor.element_size())


def _kept(tensor: Tensor) -> Tensor:
    """Which elements have any bit set. A negative zero has one, so it is kept as it is."""
    return (_bytes(tensor) != 0).any(dim=1)


def _mask(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    import numpy as np
    import torch

    kept = _kept(tensor)
    yield f"{name}.mask", torch.from_numpy(np.packbits(kept.numpy()))
    yield f"{name}.values", _bytes(tensor)[kept].flatten().view(tensor.dtype)


def _unmask(mask: Tensor, values: Tensor, shape: list[int]) -> Tensor:
    import numpy as np
    import torch

    count = math.prod(shape)
    kept = torch.from_numpy(np.unpackbits(mask.numpy(), count=count).astype(bool))
    flat = torch.zeros(count, values.element_size(), dtype=torch.uint8)
    flat[kept] = _bytes(values)
    return flat.flatten().view(values.dtype).reshape(shape)


def _flatten_quantized(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Take tensors that are put together from several into those; the others stay as they are."""
    whole = {name: tensor for name, tensor in state.items() if hasattr(tensor, "__tensor_flatten__")}
    if not whole:
        return dict(state), {}
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    flat, metadata = flatten_tensor_state_dict(whole)
    return {name: tensor for name, tensor in state.items() if name not in whole} | flat, dict(metadata)
