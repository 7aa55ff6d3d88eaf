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

    Convolutions (grouped ones too), batch norms and linear layers can change; where a tensor of theirs has another
    shape in `state`, an empty one on the meta device takes its place, to be filled by
    `load_state_dict(state, assign=True)`. A state of the model as constructed changes nothing.

    Raises:
        RefusedArtifact: another layer's tensor or a kernel's size differs, or the model's inputs or classes do.

    """
    ends = _ends(core)
    for path, layer in core.named_modules():
        held = dict([*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)])
        changed = {
            name: tuple(state[key].shape)
            for name, value in held.items()
            if (key := f"{path}.{name}".lstrip(".")) in state and state[key].shape != value.shape
        }
        if changed:
            _narrow(layer, changed, path)
        for name, shape in changed.items():
            _make_room(layer, name, shape)
    if ends != _ends(core):
        raise RefusedArtifact("the weights are of a model with other inputs or classes: build it again")


def _ends(core: nn.Module) -> tuple[int, int]:
    """Channels that the first layer reads, and classes that the last one gives."""
    layers = _layers(core)
    return (layers[0].weight.shape[1], layers[-1].weight.shape[0]) if layers else (0, 0)


def _layers(core: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    from torch import nn

    return [m for m in core.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _narrow(layer: nn.Module, changed: Mapping[str, tuple[int, ...]], path: str) -> None:
    """Set the counts that the layer keeps beside its tensors, and remember what they were."""
    from torch import nn

    if isinstance(layer, nn.BatchNorm2d):
        (layer.num_features,) = next(iter(changed.values()))
        return
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        kind = type(layer).__name__
        raise RefusedArtifact(f"the weights don't fit the model: {path} ({kind}) has another shape")
    before = tuple(layer.weight.shape)
    after = changed.get("weight", ())
    if len(after) != len(before) or after[2:] != before[2:]:
        raise RefusedArtifact(f"the weights don't fit the model: {path} has another kernel or rank")
    if not hasattr(layer, _CONSTRUCTED):
        setattr(layer, _CONSTRUCTED, before)
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = after
    else:
        if layer.in_channels == layer.groups > 1:  # depthwise: a group per channel, which goes with it
            layer.groups = layer.groups * after[0] // layer.out_channels
        layer.out_channels, layer.in_channels = after[0], after[1] * layer.groups


def _make_room(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    import torch

    empty = torch.empty(shape, device="meta")
    if isinstance(getattr(layer, name), torch.nn.Parameter):
        empty = torch.nn.Parameter(empty)
    setattr(layer, name, empty)


def constructed_shape(layer: nn.Conv2d | nn.Linear) -> tuple[int, ...]:
    """The weight's shape (out, in, ...) before any channel was removed."""
    shape: tuple[int, ...] = getattr(layer, _CONSTRUCTED, None) or tuple(layer.weight.shape)
    return shape


def layer_count(core: nn.Module) -> int:
    """Convolutions and linear layers."""
    return len(_layers(core))


def channels_removed(core: nn.Module) -> tuple[int, int]:
    """(channels removed, channels as constructed), counted at the outputs of convolutions and linear layers."""
    layers = _layers(core)
    whole = sum(constructed_shape(layer)[0] for layer in layers)
    return whole - sum(layer.weight.shape[0] for layer in layers), whole
