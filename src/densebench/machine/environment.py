"""What this machine and its libraries are, and a short name for exactly that."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version

from densebench.machine.facts import allowed_cpus, cpu_flags, cpu_name, units
from densebench.machine.preflight import warnings as warnings  # noqa: PLC0414 - read beside the facts

PROJECT = "densebench"
PRECISIONS = "precisions"
UNNAMED = (PROJECT, PRECISIONS)  # facts that are no part of the name; precisions follow from the processor
# Distributions whose version may change a figure.
LIBRARIES = (
    "torch",
    "torchvision",
    "torchao",
    "triton",
    "numpy",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "nncf",
)
SOFTWARE = ("python", *LIBRARIES)  # the facts that are of no machine
TELLING_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
)


def environment() -> dict[str, str]:
    """Machine, system and library versions; `gpu` is named only where the driver answers."""
    import psutil

    facts = {
        "cpu": cpu_name(),
        "cpu_instructions": " ".join(flag for flag in TELLING_FLAGS if flag in cpu_flags()),
        "cpus_allowed": str(allowed_cpus()),
        "memory_gb": f"{psutil.virtual_memory().total / 1e9:.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    if known := units():
        facts[PRECISIONS] = ", ".join(f"{format_} {unit}" for format_, unit in known.items())
    facts |= {library: found for library in (PROJECT, *LIBRARIES) if (found := _version(library))}
    return facts | {f"gpu{index}": name for index, name in enumerate(gpus())}


def environment_id(facts: dict[str, str]) -> str:
    """Eight hexadecimal digits that change when anything in the environment does, but for what is `UNNAMED`.

    A resume and a comparison of images a second need the same name. A new version of the project prevents neither.
    """
    others = {name: fact for name, fact in facts.items() if name not in UNNAMED}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()[:8]


def gpus() -> list[str]:
    """Name and driver version of each NVIDIA GPU, from the driver, without opening CUDA."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [f"{pynvml.nvmlDeviceGetName(handle)}, driver {driver}" for handle in handles]
    finally:
        pynvml.nvmlShutdown()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
