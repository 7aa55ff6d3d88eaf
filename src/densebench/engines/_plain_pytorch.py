"""Python code for a deployer: it loads an eager artifact with PyTorch, torchvision and safetensors alone."""

from __future__ import annotations

from densebench.engines.base import Details

_MASKED = """\
from safetensors import safe_open
import json, math, numpy
with safe_open("weights.safetensors", "pt") as file:
    state = {key: file.get_tensor(key) for key in file.keys()}
    shapes = json.loads(file.metadata()["densebench.masked"])
for name, shape in shapes.items():  # stored as a bit mask and the values that are not zero
    mask, values = state.pop(name + ".mask").numpy(), state.pop(name + ".values")
    kept = torch.from_numpy(numpy.unpackbits(mask, count=math.prod(shape)).astype(bool))
    state[name] = torch.zeros(kept.numel(), dtype=values.dtype).masked_scatter(kept, values).reshape(shape)
"""
_QUANTIZED = """\
from safetensors import safe_open
from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict
import json
with safe_open("weights.safetensors", "pt") as file:
    state = {key: file.get_tensor(key) for key in file.keys()}
    whole, plain = unflatten_tensor_state_dict(state, json.loads(file.metadata()["densebench.quantized"]))
state = whole | plain
"""
_PLAIN = """\
from safetensors.torch import load_file
state = load_file("weights.safetensors")
"""
_FILL = """\
for name, tensor in state.items():  # takes the file's precision and channel counts as they are
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
{regroup}    if leaf in module._parameters:
        module._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
    else:
        module._buffers[leaf] = tensor
"""
# For a pruned model: F.conv2d takes the groups from the module, which was constructed with all of its channels.
_REGROUP = """\
    if isinstance(module, torch.nn.Conv2d) and module.in_channels == module.groups > 1:  # depthwise
        module.groups = module.groups * len(tensor) // module.out_channels  # a group for each channel left
"""


FP32 = "torch.backends.cudnn.allow_tf32 = False  # FP32 is FP32, as it was measured\n"
_COMPRESS = """\
from torch.sparse import to_sparse_semi_structured
for name in {names!r}:  # of every four weights two are zero: this GPU's sparse kernels skip them
    layer = model.get_submodule(name)
    sparse = to_sparse_semi_structured(layer.weight.detach().contiguous())
    layer.weight = torch.nn.Parameter(sparse, requires_grad=False)
"""


def model_code(details: Details, device: str) -> str:
    """Code that ends with the module `model`, in eval mode, on the device."""
    from densebench.workloads.models import constructor_options

    architecture = details["architecture"]
    options = {"num_classes": architecture["classes"]} | constructor_options(
        architecture["model"], initialize=False
    )
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    read = {"masked": _MASKED, "quantized": _QUANTIZED}.get(details["weights"], _PLAIN)
    fill = _FILL.format(regroup=_REGROUP if "channels_removed" in architecture else "")
    moved = "" if device == "cpu" else f'model.to("{device}")\n{FP32}'
    moved += "model.to(memory_format=torch.channels_last)\n" if details["served"]["channels_last"] else ""
    moved += _COMPRESS.format(names=names) if (names := details.get("semi_sparse")) else ""
    return (
        f"import torch, torchvision\n{read}"
        f"model = torchvision.models.get_model({architecture['model']!r}, {given}).eval()\n{fill}{moved}"
    )


def call_code(details: Details, device: str, model: str = "model") -> str:
    """Code that defines `infer`, from an array of images to one of logits, and calls it."""
    served = details["served"]
    change, back = moves(device)
    change += "" if served["dtype"] == "float32" else f".to(torch.{served['dtype']})"
    change += ".contiguous(memory_format=torch.channels_last)" if served["channels_last"] else ""
    autocast = f', torch.autocast("{device}", torch.{served["autocast"]})' if served["autocast"] else ""
    return (
        f"def infer(images):\n"
        f"    with torch.inference_mode(){autocast}:\n"
        f"        return {model}(torch.from_numpy(images){change}).float(){back}.numpy()\n"
        f"logits = infer(images)\n"
    )


def moves(device: str) -> tuple[str, str]:
    """What a tensor is called with on its way to the device, and on its way back."""
    return ("", "") if device == "cpu" else (f'.to("{device}")', ".cpu()")


def usage(details: Details, device: str = "cpu") -> str:
    """The whole of it."""
    return model_code(details, device) + call_code(details, device)
