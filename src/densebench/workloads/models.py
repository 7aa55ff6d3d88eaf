"""Any torchvision classifier by name, as an empty frame to put weights into.

The frame is built on the meta device, which knows shapes and stores nothing: a second of random numbers that
the weights would overwrite is never drawn. Whoever asks for a frame fills it with
`load_state_dict(state, assign=True)`.
"""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from densebench.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

COLOURS = 3  # channels of a colour image
_FIXED_SIZE = {"vit_": 224, "maxvit_": 224}  # position embeddings: these families take one image size
_AUXILIARY = ("googlenet", "inception_v3")  # their second classifier is of use in training only


def torchvision_models() -> ModuleType:
    """The module `torchvision.models`, which has no usable types."""
    return importlib.import_module("torchvision.models")


def model_names() -> tuple[str, ...]:
    """The classifiers of the installed torchvision, in alphabetical order."""
    models = torchvision_models()
    return tuple(models.list_models(module=models))


def check_model(name: str, image_size: int) -> None:
    """Say what to change where there is no such model, or where it can't take images of this size (pixels).

    Raises:
        UsageError: the name is unknown, or the model takes another size only.

    """
    known = model_names()
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "take a torchvision classifier, such as densenet121"
        raise UsageError(f"no model is called {name!r}: {hint}")
    for family, size in _FIXED_SIZE.items():
        if name.startswith(family) and image_size != size:
            raise UsageError(f"{name} takes images of {size} pixels only: use --image-size {size}")
    smallest = max(torchvision_models().get_model_weights(name).DEFAULT.meta["min_size"])
    if image_size < smallest:
        raise UsageError(
            f"{name} needs images of at least {smallest} pixels: raise --image-size {image_size}"
        )


def construct(model_name: str, num_classes: int, channels: int) -> nn.Module:
    """Build the model in eval mode without values: every parameter and buffer is on the meta device.

    All of them are in its state dict, so that `load_state_dict(state, assign=True)` with a complete state
    leaves nothing on meta.

    Args:
        model_name: a name of `model_names()`.
        num_classes: outputs of the last layer.
        channels: of the input images; other than COLOURS replaces the first convolution.

    Raises:
        UsageError: the name is unknown.

    """
    import torch

    if model_name not in model_names():
        check_model(model_name, 224)
    options = constructor_options(model_name, initialize=False)
    try:
        with torch.device("meta"):
            model: nn.Module = torchvision_models().get_model(model_name, num_classes=num_classes, **options)
    except NotImplementedError:  # RegNets work out their widths with tensors, which need values
        with torch.random.fork_rng(devices=[]):
            model = torchvision_models().get_model(model_name, num_classes=num_classes, **options).to("meta")
    if channels != COLOURS:
        with torch.device("meta"):
            _replace_stem(model, channels)
    held = set(model.state_dict())
    outside = [name for name, _ in model.named_buffers() if name not in held]
    assert not outside, f"{model_name} keeps {outside} outside its state dict"
    return model.eval()


def constructor_options(model_name: str, *, initialize: bool) -> dict[str, bool]:
    """What else torchvision's builder of this model wants to be told, for a model without auxiliary heads."""
    return {"aux_logits": False, "init_weights": initialize} if model_name in _AUXILIARY else {}


def stem_weight(model: nn.Module) -> str:
    """The name of the first convolution's weight: its second dimension is the number of channels."""
    from torch import nn

    return next(f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Conv2d))


def head_weight(model: nn.Module) -> str:
    """The name of the last layer's weight: its first dimension is the number of classes."""
    return [name for name, value in model.state_dict().items() if value.ndim > 1][-1]


def _replace_stem(model: nn.Module, channels: int) -> None:
    from torch import nn

    path = stem_weight(model).removesuffix(".weight")
    old = model.get_submodule(path)
    assert isinstance(old, nn.Conv2d)
    size, stride = (old.kernel_size[0], old.kernel_size[1]), (old.stride[0], old.stride[1])
    assert old.groups == 1
    assert not isinstance(old.padding, str)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        size,
        stride,
        (old.padding[0], old.padding[1]),
        (old.dilation[0], old.dilation[1]),
        bias=old.bias is not None,
    )
    model.set_submodule(path, new)
