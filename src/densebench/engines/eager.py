"""PyTorch as it comes: one kernel after the other. The artifact is a safetensors file and a few settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines import _onednn, _plain_pytorch
from densebench.engines._semi_sparse import compress, compressible
from densebench.engines.base import Built, Details, Engine, Target, claimed
from densebench.schema import Effect

if TYPE_CHECKING:
    from torch import Tensor, nn

    from densebench.model.adapter import Served
    from densebench.workloads.base import Workload

WEIGHTS = "weights.safetensors"


def build(model: nn.Module, workload: Workload, folder: Path, target: Target) -> Built:
    """Save the weights, and what it takes to make the module again around them."""
    from densebench.model.adapter import served
    from densebench.model.pruned_shapes import channels_removed
    from densebench.model.state_dict_file import save_weights

    module = served(model)
    stored = save_weights(folder / WEIGHTS, module.core.state_dict())
    architecture: dict[str, object] = {
        "model": workload.model_name,
        "classes": len(workload.weights.classes),
        "channels": workload.input_shape[0],
    }
    removed, whole = channels_removed(module.core)
    if removed:
        architecture["channels_removed"] = {"removed": removed, "of": whole}
    details: dict[str, object] = {
        "architecture": architecture,
        "served": module.settings(),
        "weights": stored,
    }
    if names := compressible(module.core, target.device):
        details["semi_sparse"] = names
    return Built(details=details)


def load_module(folder: Path, details: Details, device: str) -> Served:
    """The saved module, in eval mode on the device."""
    import torch

    from densebench.model.adapter import Served
    from densebench.model.pruned_shapes import fit_channels
    from densebench.model.state_dict_file import load_weights
    from densebench.workloads.models import construct

    architecture = details["architecture"]
    state = load_weights(folder / WEIGHTS, device)
    core = construct(architecture["model"], architecture["classes"], architecture["channels"])
    fit_channels(core, state)
    core.load_state_dict(state, assign=True)
    core.eval().requires_grad_(requires_grad=False)
    if details["served"]["channels_last"]:
        core.to(memory_format=torch.channels_last)
    compress(core, details.get("semi_sparse", ()))
    return Served(core, **details["served"]).eval()


class EagerSession:
    """A module called as it is."""

    def __init__(self, module: Served, claimed: str = "float32") -> None:
        self.module = module
        self.claimed = claimed

    def __call__(self, images: Tensor) -> Tensor:
        return self.module(images)  # type: ignore[no-any-return]

    def effect(self, images: Tensor) -> Effect:
        from densebench.model import inspection

        core = self.module.core
        seen = inspection.observe(core, self, images)
        if nothing := inspection.unseen(self.claimed, seen.convolutions):
            return nothing
        differences = inspection.describe_effect(core, seen)
        plain = "" if differences else "plain FP32 NCHW eager execution"
        return Effect(seen=tuple(differences), none_because=plain)

    def trace(self, images: Tensor) -> None:
        pass

    def close(self) -> None:
        pass


def load(folder: Path, details: Details, device: str) -> EagerSession:
    """A session on the saved module."""
    return EagerSession(load_module(folder, details, device), claimed(details))


def uses() -> str:
    """Instruction sets of PyTorch's own kernels, and of oneDNN, which has its convolutions."""
    import torch

    own, convolutions = torch.backends.cpu.get_cpu_capability(), _onednn.instructions()
    return f"PyTorch's kernels: {own}" + (f"; oneDNN's: {convolutions}" if convolutions else "")


ENGINE = Engine(
    "eager",
    "PyTorch, one kernel after the other",
    build,
    load,
    usage=_plain_pytorch.usage,
    default=True,
    any_batch=True,
    contains_code=False,
    tolerance=1e-5,
    uses=uses,
)
