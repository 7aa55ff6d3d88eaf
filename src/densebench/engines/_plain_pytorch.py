"""Python code for a deployer: it loads an eager artifact with PyTorch, torchvision and safetensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    if leaf in module._parameters:
        module._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
    else:
        module._buffers[leaf] = tensor
"""


def model_code(details: Mapping[str, Any]) -> str:
    """Code that ends with the module `model`, in eval mode, on the CPU."""
    from densebench.workloads.models import constructor_options

    architecture = details["architecture"]
    options = {"num_classes": architecture["classes"]} | constructor_options(
        architecture["model"], initialize=False
    )
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    read = {"masked": _MASKED, "quantized": _QUANTIZED}.get(details["weights"], _PLAIN)
    moved = "model.to(memory_format=torch.channels_last)\n" if details["served"]["channels_last"] else ""
    return (
        f"import torch, torchvision\n{read}"
        f"model = torchvision.models.get_model({architecture['model']!r}, {given}).eval()\n{_FILL}{moved}"
    )


def call_code(details: Mapping[str, Any], model: str = "model") -> str:
    """Code from `images` to `logits`, both float32 NumPy arrays."""
    served = details["served"]
    change = "" if served["dtype"] == "float32" else f".to(torch.{served['dtype']})"
    change += ".contiguous(memory_format=torch.channels_last)" if served["channels_last"] else ""
    autocast = f', torch.autocast("cpu", torch.{served["autocast"]})' if served["autocast"] else ""
    return (
        f"with torch.inference_mode(){autocast}:\n"
        f"    logits = {model}(torch.from_numpy(images){change}).float().numpy()\n"
    )


def usage(details: Mapping[str, Any]) -> str:
    """The whole of it."""
    return model_code(details) + call_code(details)
