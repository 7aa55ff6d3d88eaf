"""TorchScript: the model as a program of its own, runnable from C++ without Python.

It is saved frozen and optimized at load: a module optimized for inference before saving can't be read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.engines import _ran
from densebench.engines._plain_pytorch import FP32, moves
from densebench.engines._weights import describe_weights
from densebench.engines.base import Built, Details, Engine, Target, Triton, claimed
from densebench.schema import Caveat, Effect

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from densebench.workloads.base import Workload

PROGRAM = "model.pt"
COUNTED = (
    "mkldnn_convolution",
    "conv2d",
    "batch_norm",
)  # kinds of nodes end so, whichever library they are of
MULTIPLYING = {"aten::conv2d", "aten::linear"}
OPTIMIZING_CALLS = 3  # the first ones, in which PyTorch optimizes what it has seen


def build(model: nn.Module, workload: Workload, folder: Path, target: Target) -> Built:
    """Script and freeze the model; weights become constants of the program.

    oneDNN can't run every program that is optimized for it: then `unoptimized` in the details says why.
    """
    import torch

    from densebench.model.adapter import served

    torch.jit.save(_folded(torch.jit.freeze(torch.jit.script(served(model).eval()))), folder / PROGRAM)
    images = torch.zeros(min(target.batch_sizes), *workload.input_shape, device=target.device)
    session = ScriptSession(folder / PROGRAM, {}, target.device)
    try:
        with torch.inference_mode():
            for _ in range(OPTIMIZING_CALLS):
                session(images)
    except RuntimeError as error:
        (*_, why) = str(error).strip().splitlines()
        return Built(details={"unoptimized": why.removeprefix("RuntimeError: ")})
    return Built()


def _folded(program: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Fold the batch norms that freezing leaves behind the convolution before them.

    Freezing looks for them before it has taken out branches that are never taken: of DenseNet-121's 59 it finds one.
    The other 62 stand before their convolution, behind a ReLU or a concatenation, and can't be folded.
    """
    import torch

    torch._C._jit_pass_peephole(program.graph)  # noqa: SLF001 - no public function does only this
    torch._C._jit_pass_optimize_frozen_graph(program.graph, True)  # noqa: SLF001 - numerics too
    return program


class ScriptSession:
    """A frozen program, optimized for inference in this process where that can run."""

    def __init__(self, file: Path, details: Details, device: str) -> None:
        import torch

        self.file = file
        self.details = details
        self.device = device
        program = self._read()
        self.unoptimized: str = details.get("unoptimized", "")
        self.program = program if self.unoptimized else torch.jit.optimize_for_inference(program)

    def _read(self) -> torch.jit.ScriptModule:
        """The program as it was saved."""
        import torch

        return torch.jit.load(self.file, map_location=self.device)  # type: ignore[no-untyped-call,no-any-return]

    def __call__(self, images: Tensor) -> Tensor:
        return self.program(images)  # type: ignore[no-any-return]

    def effect(self, images: Tensor) -> Effect:
        """Count the optimized graph's operators, what really ran in which precision and layout, and the weights."""
        from densebench.model import inspection

        ran = _ran.convolutions(lambda: self(images), self.device)
        if nothing := inspection.unseen(claimed(self.details), ran.precisions):
            return nothing
        kinds = [node.kind() for node in _nodes(self.program.inlined_graph)]
        count = {name: sum(kind.endswith(name) for kind in kinds) for name in COUNTED}
        graph = (
            f"frozen graph: {count['mkldnn_convolution']} oneDNN and {count['conv2d']} plain convolutions, "
            f"{count['batch_norm']} batch norms left unfolded"
        )
        unoptimized = [f"not optimized: {self.unoptimized}"] if self.unoptimized else []
        inside = [
            *inspection.describe_precisions(ran.precisions),
            *inspection.describe_layout(ran.layouts or Counter()),
        ]
        return Effect(seen=(graph, *unoptimized, *inside, *self._weights()))

    def _weights(self) -> list[str]:
        """What is missing or zero in the program, read once more from its file: optimizing packs them."""
        graph = self._read().inlined_graph
        nodes = [node for node in _nodes(graph) if node.kind() in MULTIPLYING]
        constants: list[Tensor | None] = [list(node.inputs())[1].toIValue() for node in nodes]  # type: ignore[misc]
        weights = [(len(one), int((one == 0).sum()), one.numel()) for one in constants if one is not None]
        return describe_weights(weights, self.details)

    def trace(self, images: Tensor) -> None:
        pass

    def close(self) -> None:
        pass


def _nodes(block: torch._C.Graph | torch._C.Block) -> Iterator[torch._C.Node]:
    """The nodes of a graph, in nested blocks too; they die with the graph, which the caller holds."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def load(folder: Path, details: Details, device: str) -> ScriptSession:
    """A session on the saved program."""
    return ScriptSession(folder / PROGRAM, details, device)


def usage(details: Details, device: str = "cpu") -> str:
    """PyTorch alone."""
    there, back = moves(device)
    program = f'torch.jit.load("{PROGRAM}", map_location="{device}")'
    if not details.get("unoptimized"):
        program = f"torch.jit.optimize_for_inference({program})"
    return (
        f"import torch\n{'' if device == 'cpu' else FP32}"
        f"model = {program}\n"
        "def infer(images):\n"
        "    with torch.inference_mode():\n"
        f"        return model(torch.from_numpy(images){there}){back}.numpy()\n"
        "logits = infer(images)\n"
    )


ENGINE = Engine(
    "jit",
    "TorchScript, scripted, frozen, optimized at load",
    build,
    load,
    aliases=("script",),
    usage=usage,
    ceilings={"float32": {}, "bfloat16": {}, "float16": {}},
    triton=Triton(
        "pytorch",
        {PROGRAM: "model.pt"},
        "INPUT__0",
        "OUTPUT__0",
        parameters=lambda details, threads: {"INTRA_OP_THREAD_COUNT": str(threads)},
        lost=lambda details, device: (
            "the frozen program runs as it was saved: the backend doesn't optimize it for inference at load"
        ),
    ),
    refuses={"tensor_subclass": "TorchScript can't hold quantized tensors of this kind"},
    tolerance=1e-4,
    typical_build_s=10.0,
    caveat=Caveat(
        text="TorchScript is deprecated in PyTorch; it still loads from C++ without Python.",
        kind="deprecation",
    ),
)
