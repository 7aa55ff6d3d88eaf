"""Channel counts: a model from which channels were removed, and how it comes back from its state dict alone.

Such a model has the constructed one's layers with fewer channels in them, and its tensors' shapes say how many.
A layer that was made narrower keeps the shape that its weight was constructed with, so that what is missing can
be counted on whatever was loaded, beside what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from densebench.errors import RefusedArtifact

if TYPE_CHECKING:
    from torch import Tensor, nn

_CONSTRUCTED = "constructed_shape"  # the attribute of a narrower layer


def fit_channels(core: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the layers of a constructed model the channel counts of the tensors in `state`.

    Convolutions (grouped ones too), batch norms and linear layers can change; a tensor of theirs that has another
    shape in `state` is replaced by an empty one on the meta device, to be filled by
    `load_state_dict(state, assign=True)`. A state of the model as constructed changes nothing.

    Raises:
        RefusedArtifact: another layer's tensor or a kernel's size differs, or the model's inputs or outputs do.

    """
    from torch import nn

    layers = [(name, m) for name, m in core.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    ends = _ends(core) if layers else None
    for path, layer in core.named_modules():
        held = dict([*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)])
        names = {name: f"{path}.{name}" if path else name for name in held}
        wanted = {name: state[key].shape for name, key in names.items() if key in state}
        if all(held[name].shape == shape for name, shape in wanted.items()):
            continue
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            raise RefusedArtifact(
                f"the weights don't fit the model: {path} has another shape: build it again"
            )
        _narrow(layer, path, wanted.get("weight", held["weight"].shape))
        for name, shape in wanted.items():
            _make_room(layer, name, shape)
    if ends != (_ends(core) if layers else None):
        raise RefusedArtifact("the weights are of a model with other inputs or classes: build it again")


def _ends(core: nn.Module) -> tuple[int, int]:
    """Channels that the first layer reads, and classes that the last one gives."""
    from torch import nn

    layers = [m for m in core.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    first, last = layers[0].weight.shape, layers[-1].weight.shape
    return first[1], last[0]


def _narrow(layer: nn.Conv2d | nn.BatchNorm2d | nn.Linear, path: str, shape: tuple[int, ...]) -> None:
    """Set the counts that the layer keeps beside its tensors, and remember the weight's shape."""
    from torch import nn

    before = tuple(layer.weight.shape)
    if len(shape) != len(before) or shape[2:] != before[2:]:
        raise RefusedArtifact(f"the weights don't fit the model: {path} has another kernel: build it again")
    if isinstance(layer, nn.BatchNorm2d):
        layer.num_features = shape[0]
        return
    if not hasattr(layer, _CONSTRUCTED):
        setattr(layer, _CONSTRUCTED, before)
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
        return
    if layer.in_channels == layer.groups > 1:  # depthwise: a group per channel, which goes with it
        layer.groups = layer.groups * shape[0] // layer.out_channels
    layer.out_channels, layer.in_channels = shape[0], shape[1] * layer.groups


def _make_room(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    import torch

    empty = torch.empty(shape, device="meta")
    if isinstance(getattr(layer, name), torch.nn.Parameter):
        setattr(layer, name, torch.nn.Parameter(empty))
    else:
        layer.register_buffer(name, empty)


def constructed_shape(layer: nn.Conv2d | nn.Linear) -> tuple[int, ...]:
    """The weight's shape (out, in, ...) before any channel was removed."""
    return getattr(layer, _CONSTRUCTED, None) or tuple(layer.weight.shape)


def channels_removed(core: nn.Module) -> tuple[int, int]:
    """(channels removed, channels as constructed), counted at the outputs of convolutions and linear layers."""
    from torch import nn

    layers = [m for m in core.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    whole = sum(constructed_shape(m)[0] for m in layers)
    return whole - sum(m.weight.shape[0] for m in layers), whole
