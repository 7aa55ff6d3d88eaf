"""How an ONNX artifact is run elsewhere with what was measured: in a few lines of Python, and in Triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densebench.engines._onnx_export import INPUT, OUTPUT
from densebench.engines.base import Triton

MODEL = "model.onnx"


def providers(provider: str, device: str) -> list[Any]:
    """In order of preference; the last one takes what the others can't run."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})  # FP32 is FP32 in every row
    return [*(["TensorrtExecutionProvider"] if provider == "tensorrt" else []), cuda, "CPUExecutionProvider"]


def usage(details: Mapping[str, Any], device: str = "cpu") -> str:
    """ONNX Runtime alone; it copies images to a GPU and logits back by itself."""
    wanted = providers(details["provider"], device)
    threads = details.get("threads")  # older artifacts don't say
    count = f"options.intra_op_num_threads = {threads}\n" if threads else ""
    preload = check = ""
    if device != "cpu":
        first = wanted[0] if isinstance(wanted[0], str) else wanted[0][0]
        preload = "onnxruntime.preload_dlls()  # CUDA and cuDNN from where pip installs them\n"
        if details["provider"] == "tensorrt":
            preload = (
                f"import contextlib\n{preload}"
                "with contextlib.suppress(ImportError):  # where the system has TensorRT's libraries itself\n"
                "    import tensorrt\n"
            )
        check = f'assert session.get_providers()[0] == "{first}", "it fell back: its log says why"\n'
    return (
        f"import onnxruntime\n{preload}"
        f"options = onnxruntime.SessionOptions()\n{count}"
        f'session = onnxruntime.InferenceSession("{MODEL}", options, providers={wanted!r})\n{check}'
        f'(logits,) = session.run(["{OUTPUT}"], {{"{INPUT}": images}})\n'
    )


def _lost_in_triton(details: Mapping[str, Any], device: str) -> str:
    """What its ONNX Runtime backend has no parameter for."""
    if details["provider"] == "tensorrt":
        return (
            "ONNX Runtime's CUDA kernels run this: ask for TensorRT's in optimization.execution_accelerators"
        )
    return "" if device == "cpu" else "FP32 may be computed in TF32, which was off when it was measured"


TRITON = Triton(
    "onnxruntime",
    {MODEL: "model.onnx"},
    INPUT,
    OUTPUT,
    parameters=lambda details, threads: {"intra_op_thread_count": str(threads)},
    lost=_lost_in_triton,
)
