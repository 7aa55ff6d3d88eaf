"""How an ONNX artifact is run elsewhere with what was measured: in a few lines of Python, and in Triton."""

from __future__ import annotations

from typing import Final

from densebench.engines._onnx_export import INPUT, OUTPUT
from densebench.engines._streams import of_details
from densebench.engines.base import Details, Triton

MODEL = "model.onnx"
GRAPH: Final = "all"  # ONNX Runtime's own default, as the next
ARENA: Final = True
LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "off": "ORT_DISABLE_ALL",
}
TRITON_LEVELS = {"extended": 1, "basic": -1, "off": 2}
Provider = str | tuple[str, dict[str, str]]  # a name, or one with its options


def providers(provider: str, device: str) -> list[Provider]:
    """In order of preference; the last one takes what the others can't run."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})  # FP32 is FP32 in every row
    return [*(["TensorrtExecutionProvider"] if provider == "tensorrt" else []), cuda, "CPUExecutionProvider"]


def loading(details: Details) -> tuple[str, bool]:
    """The name of the graph's optimization level, and whether there is a memory arena; older artifacts don't say."""
    return LEVELS[details.get("graph", GRAPH)], bool(details.get("arena", ARENA))


def _own_threads(details: Details, threads: int) -> int:
    """The threads of a stream."""
    return max(1, threads // of_details(details, threads))


def usage(details: Details, device: str = "cpu") -> str:
    """ONNX Runtime alone; it copies images to a GPU and logits back by itself."""
    wanted = providers(details["provider"], device)
    threads = details.get("threads")  # older artifacts don't say
    settings = f"options.intra_op_num_threads = {_own_threads(details, threads)}\n" if threads else ""
    several = of_details(details, threads) if threads else 1
    if several > 1:
        settings += 'options.add_session_config_entry("session.intra_op.allow_spinning", "0")\n'
    level, arena = loading(details)
    if level != LEVELS[GRAPH]:
        settings += f"options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}\n"
    if arena != ARENA:
        settings += f"options.enable_cpu_mem_arena = {arena}\n"
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
        f"options = onnxruntime.SessionOptions()\n{settings}"
        f'session = onnxruntime.InferenceSession("{MODEL}", options, providers={wanted!r})\n{check}'
        "def infer(images):\n"
        f'    return session.run(["{OUTPUT}"], {{"{INPUT}": images}})[0]\n'
        + (
            f"# serve it from {several} threads at once, each with a session of its own\n"
            if several > 1
            else ""
        )
        + "logits = infer(images)\n"
    )


def _lost_in_triton(details: Details, device: str) -> str:
    """What its ONNX Runtime backend has no parameter for."""
    if details["provider"] == "tensorrt":
        return (
            "ONNX Runtime's CUDA kernels run this: ask for TensorRT's in optimization.execution_accelerators"
        )
    return "" if device == "cpu" else "FP32 may be computed in TF32, which was off when it was measured"


def _triton_parameters(details: Details, threads: int) -> dict[str, str]:
    """As Triton's backend calls them: https://github.com/triton-inference-server/onnxruntime_backend."""
    _, arena = loading(details)
    return {
        "intra_op_thread_count": str(_own_threads(details, threads)),
        **({} if arena else {"enable_mem_arena": "0"}),
    }


def _triton_level(details: Details) -> str:
    """The graph's optimization level by the backend's numbers, where it is not its default."""
    level = TRITON_LEVELS.get(details.get("graph", GRAPH))
    return f"optimization {{ graph {{ level: {level} }} }}\n" if level is not None else ""


TRITON = Triton(
    "onnxruntime",
    {MODEL: "model.onnx"},
    INPUT,
    OUTPUT,
    parameters=_triton_parameters,
    more=_triton_level,
    lost=_lost_in_triton,
)
