"""AOT Inductor: the model compiled ahead of time, weights and all, into one file that runs without a compiler.

The batch is dynamic: one package serves every size, 1 among them, where one package a size would take a build of
half a minute and a copy of the weights each. Those would be 3 ± 3 % faster at batch 1, 2 ± 9 % at 8 and 3 ± 4 % at 32
(DenseNet-121 at 224 pixels, two threads: `benchmarks/packages.py`). What a dynamic batch would cost beyond that is
that Inductor leaves convolution weights unpacked, so they are packed here (`_inductor_packing.py`, with figures).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from densebench.engines import _exported, _ran
from densebench.engines import _inductor_int8 as int8
from densebench.engines._calibration import calibration_images
from densebench.engines._inductor import inductor, no_compiler, no_triton
from densebench.engines._onednn import kinds, layouts, log_of
from densebench.engines._plain_pytorch import FP32, moves
from densebench.engines._weights import describe_weights
from densebench.engines.base import Built, Details, Engine, Target, claimed
from densebench.errors import Unavailable, UsageError
from densebench.schema import Caveat, Effect
from densebench.techniques.base import DEVICES, Option, Options

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._C._aoti import AOTIModelPackageLoader
    from torch.export import ExportedProgram

    from densebench.workloads.base import Workload

PACKAGE = "model.pt2"
MODEL = "model"  # its name in the package
MOST_IMAGES = 65_535  # a batch: cuDNN normalizes no more at once, so that no graph on a GPU takes more


class AotOptions(Options):
    """What the package computes in."""

    precision: Annotated[Literal["fp32", "int8"], Option(("int8", "fp32"), (2.2, 1.0))] = Field(
        "fp32", description="fp32: as the techniques left it; int8: static, calibrated"
    )
    freezing: Annotated[bool, Option((True, False), needs={"precision": "fp32"})] = Field(
        default=True, description="weights are folded and packed at build; INT8 always does that"
    )


def build(
    model: nn.Module,
    workload: Workload,
    folder: Path,
    target: Target,
    *,
    precision: str = "fp32",
    freezing: bool = True,
) -> Built:
    """Export the model for any batch size, quantize it for INT8, compile and package it.

    Raises:
        Unavailable: INT8 without calibration images, or on a GPU.
        UsageError: INT8 with too few of them, or of a model that is not FP32.

    """
    import torch
    from torch._inductor import aoti_compile_and_package

    from densebench.model.adapter import served

    module: nn.Module = served(model)
    if precision == "int8":
        if target.device != "cpu":
            raise Unavailable("Inductor's INT8 kernels run on the CPU only: use --device cpu")
        inside = served(model).settings()
        if inside["dtype"] != "float32" or inside["autocast"]:
            raise UsageError(
                "aot_inductor:precision=int8 quantizes an FP32 model: leave out what changes its precision before"
            )
    images = calibration_images(workload.data) if precision == "int8" else None
    example = torch.zeros(max(2, *target.batch_sizes), *workload.input_shape, device=target.device)
    settings = {
        "aot_inductor.precompile_headers": False,  # one file is compiled: a header of its own takes as long
        # its kernels have names in profiles, as those of a GPU have anyway: there the scopes that this adds to the
        # code hide the sizes of a dynamic batch from the next kernel (PyTorch 2.11)
        "cpp.enable_kernel_profile": target.device == "cpu",
    }
    with (
        tempfile.TemporaryDirectory(prefix="densebench-aot-") as cache,
        inductor(cache, freezing=freezing, **settings),
        torch.no_grad(),
    ):
        if images is not None:
            module = int8.quantized(module, images)
        program = exported(module, example)
        found = _exported.layers(program)
        details = {
            "precision": precision,
            "convolutions": sum(layer.operator in _exported.CONVOLUTIONS for layer in found),
            "layer_weights": _exported.weights(found),
            "quantized": _exported.quantized(found) if precision == "int8" else {},
        }
        aoti_compile_and_package(program, package_path=str(folder / PACKAGE))
    return Built(details, rounds=precision != "fp32", largest_batch=MOST_IMAGES)


def exported(module: nn.Module, example: Tensor) -> ExportedProgram:
    """The module as a graph for any batch size up to `MOST_IMAGES`, the example's device and other sizes fixed."""
    import torch

    shapes = ({0: torch.export.Dim("batch", max=MOST_IMAGES)},)
    return torch.export.export(module, (example,), dynamic_shapes=shapes)


class PackagedSession:
    """A loaded package."""

    def __init__(self, file: Path, details: Details) -> None:
        self.details = details
        self.precision: str = details["precision"]
        self.claimed = claimed(details)
        self.convolutions: int = details["convolutions"]
        self._package: AOTIModelPackageLoader | None = _open(file)

    def __call__(self, images: Tensor) -> Tensor:
        assert self._package is not None, "the session is closed"
        return self._package.boxed_run([images.contiguous()])[0]

    def effect(self, images: Tensor) -> Effect:
        """Count what oneDNN executes, by precision and layout; on a GPU, what goes through PyTorch's dispatcher.

        What the weights are is told of the program that was compiled: in the package they are packed.
        """
        from densebench.model.inspection import describe_layout, unseen

        if images.is_cuda:
            return self._effect_on_gpu(images)
        log = log_of(lambda: self(images))
        seen = kinds(log)
        convolutions = Counter(
            {precision: n for (kind, precision), n in seen.items() if kind == "convolution"}
        )
        linears = seen["matmul", "int8"] + seen["inner_product", "int8"]
        said = [
            f"{precision} convolutions {n}/{self.convolutions}" for precision, n in convolutions.most_common()
        ]
        if (other := self.convolutions - convolutions.total()) > 0:
            said.append(f"{other} convolutions not run by oneDNN")
        if linears:
            said.append(f"int8 linear layers {linears}")
        said += self._share(convolutions["int8"], linears)
        if moved := sum(n for (kind, _), n in seen.items() if kind == "reorder"):
            said.append(f"{moved} tensors laid out anew in each call")
        if self.precision == "int8" and not (convolutions["int8"] or linears):
            return Effect(none_because=f"nothing runs in int8 (seen: {', '.join(said)})")
        if self.claimed != "int8" and (nothing := unseen(self.claimed, convolutions)):
            return nothing
        package = f"ahead-of-time package: {', '.join(said)}"
        return Effect(seen=(package, *describe_layout(layouts(log)), *self._weights()))

    def _share(self, convolutions: int, linears: int) -> list[str]:
        """The share of the multiplications in INT8, where as many layers ran so as were quantized."""
        made = self.details.get("quantized")
        if not made or (made["convolutions"], made["linears"]) != (convolutions, linears):
            return []
        return [f"{100 * made['macs_share']:.3g} % of the MACs"] if convolutions + linears else []

    def _weights(self) -> list[str]:
        """What is missing or zero in the program; older packages don't say."""
        return describe_weights(self.details.get("layer_weights", ()), self.details)

    def _effect_on_gpu(self, images: Tensor) -> Effect:
        from densebench.model.inspection import unseen

        ran = _ran.convolutions(lambda: self(images), images.device.type).precisions
        if not ran:
            package = "ahead-of-time package; what it computes in isn't observed on a GPU"
            return Effect(seen=(package, *self._weights()))
        said = ", ".join(
            f"{precision} convolutions {n}/{self.convolutions}" for precision, n in ran.most_common()
        )
        package = f"ahead-of-time package: {said}"
        return unseen(self.claimed, ran) or Effect(seen=(package, *self._weights()))

    def trace(self, images: Tensor) -> None:
        pass

    def close(self) -> None:
        self._package = None


def _open(file: Path) -> AOTIModelPackageLoader:
    """The package's shared library, loaded.

    `torch._inductor.aoti_load_package` wraps the same loader. Before it does, it tries out the processor's
    instructions, with g++ where that is installed (9 to 22 s in a new process here, against 0.2 s), and fails
    over to this where it is not; and it unpickles what else lies in the file.
    """
    import torch

    return torch._C._aoti.AOTIModelPackageLoader(str(file), MODEL, False, 1, -1)  # noqa: SLF001


def load(folder: Path, details: Details, device: str) -> PackagedSession:  # noqa: ARG001
    """A session on the package."""
    return PackagedSession(folder / PACKAGE, details)


def usage(details: Details, device: str = "cpu") -> str:  # noqa: ARG001
    """PyTorch alone."""
    there, back = moves(device)
    return f"""\
import torch

{"" if device == "cpu" else FP32}\
# torch._inductor.aoti_load_package gives the same, after trying out the processor's instructions with g++
package = torch._C._aoti.AOTIModelPackageLoader("{PACKAGE}", "{MODEL}", False, 1, -1)
def infer(images):
    with torch.inference_mode():
        return package.boxed_run([torch.from_numpy(images){there}.contiguous()])[0]{back}.numpy()

logits = infer(images)
"""


_FROM_FP32 = "it quantizes an FP32 model: leave that out, or write aot_inductor without precision=int8"
ENGINE = Engine(
    "aot_inductor",
    "Inductor ahead of time: one file that runs without a compiler, in FP32 or static INT8",
    build,
    load,
    options=AotOptions,
    precision=lambda options: "int8" if options["precision"] == "int8" else None,
    refuses_with=lambda options: (
        dict.fromkeys(("autocast", "bfloat16", "float16", "tensor_subclass"), _FROM_FP32)
        if options["precision"] == "int8"
        else {}
    ),
    usage=usage,
    tolerance=1e-3,
    typical_build_s=120.0,
    devices=lambda options: ("cpu",) if options["precision"] == "int8" else DEVICES,
    unavailable=lambda device: no_compiler() or (no_triton() if device == "cuda" else None),
    caveat=Caveat(
        text="The package holds machine code for this kind of processor or GPU, this PyTorch version and the number "
        "of threads that it was built with. It needs no compiler and no Python: see examples/cpp.",
        kind="portability",
    ),
)
