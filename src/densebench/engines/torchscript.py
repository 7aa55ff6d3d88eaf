"""TorchScript: the model as a program of its own, runnable from C++ without Python.

It is saved frozen and optimized at load: a module optimized for inference before saving can't be read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densebench.engines.base import Built, Engine, Target, Triton

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from densebench.workloads.base import Workload

PROGRAM = "model.pt"


def build(model: nn.Module, workload: Workload, folder: Path, target: Target) -> Built:  # noqa: ARG001
    """Script and freeze the model; weights become constants of the program."""
    import torch

    from densebench.served import served

    torch.jit.save(torch.jit.freeze(torch.jit.script(served(model).eval())), folder / PROGRAM)
    return Built()


class ScriptSession:
    """A frozen program, optimized for inference in this process."""

    def __init__(self, program: torch.jit.ScriptModule) -> None:
        import torch

        self.program = torch.jit.optimize_for_inference(program)

    def __call__(self, images: Tensor) -> Tensor:
        return self.program(images)  # type: ignore[no-any-return]

    def effect(self, images: Tensor) -> str:  # noqa: ARG002
        return (
            f"frozen graph: {_count(self.program, 'mkldnn_convolution')} oneDNN and {_count(self.program, 'conv2d')} "
            f"plain convolutions, {_count(self.program, 'batch_norm')} batch norms left unfolded"
        )

    def trace(self, images: Tensor) -> None:
        pass

    def close(self) -> None:
        pass


def _count(program: torch.jit.ScriptModule, operator: str) -> int:
    """Nodes whose kind ends in this operator, whichever library it comes from, in nested blocks too."""

    def kinds(block: torch._C.Graph | torch._C.Block) -> Iterator[str]:
        for node in block.nodes():
            yield node.kind()
            for inner in node.blocks():
                yield from kinds(inner)

    graph = program.inlined_graph  # held by this name: its nodes die with it
    return sum(kind.endswith(operator) for kind in kinds(graph))


def load(folder: Path, details: Mapping[str, Any], device: str) -> ScriptSession:  # noqa: ARG001
    """A session on the saved program."""
    import torch

    return ScriptSession(torch.jit.load(folder / PROGRAM, map_location=device))  # type: ignore[no-untyped-call]


def usage(details: Mapping[str, Any]) -> str:  # noqa: ARG001
    """PyTorch alone."""
    return (
        "import torch\n"
        f'model = torch.jit.optimize_for_inference(torch.jit.load("{PROGRAM}", map_location="cpu"))\n'
        "with torch.inference_mode():\n"
        "    logits = model(torch.from_numpy(images)).numpy()\n"
    )


ENGINE = Engine(
    "jit",
    "TorchScript, scripted, frozen, optimized at load",
    build,
    load,
    aliases=("script",),
    usage=usage,
    ceilings={"float32": {}, "bfloat16": {}, "float16": {}},
    triton=Triton("pytorch", {PROGRAM: "model.pt"}, "INPUT__0", "OUTPUT__0"),
    refuses={"tensor_subclass": "TorchScript can't hold quantized tensors of this kind"},
    contains_code=True,
    tolerance=1e-4,
    typical_build_s=10.0,
    caveat="TorchScript is deprecated in PyTorch; it still loads from C++ without Python.",
)
