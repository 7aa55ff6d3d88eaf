"""The environment variables that children run with."""

from __future__ import annotations

import os

# What changes how a process allocates, threads, compiles or computes: a declared plain environment has none of it.
MEMORY = ("MALLOC_", "MIMALLOC_", "TCMALLOC_", "LD_PRELOAD", "GLIBC_TUNABLES", "PYTORCH_ALLOC_CONF")
CUDA_MEMORY = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING", "CUDA_MODULE_LOADING")
THREADS = ("OMP_", "KMP_", "GOMP_")
CPU_KERNELS = (
    "MKL_",
    "MKLDNN_",
    "TORCH_MKLDNN_",
    "ONEDNN_",
    "DNNL_",
    "OPENBLAS_",
    "OV_",
    "ATEN_CPU_CAPABILITY",
)
CUDA_KERNELS = ("CUBLAS_", "CUBLASLT_", "CUDNN_", "TORCH_CUDNN_", "CUDA_LAUNCH_BLOCKING")
TF32 = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
COMPILERS = ("TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_COMPILE_", "PYTORCH_JIT")
TUNING_PREFIXES = (*MEMORY, *CUDA_MEMORY, *THREADS, *CPU_KERNELS, *CUDA_KERNELS, *TF32, *COMPILERS)
KEPT = {
    "OPENBLAS_CORETYPE"
}  # where OpenBLAS takes the processor for another, its answers are wrong without it


def plain_environment(threads: int) -> dict[str, str]:
    """The environment that children run in: the caller's, without tuning, with the thread count stated."""
    kept = {
        key: value for key, value in os.environ.items() if key in KEPT or not key.startswith(TUNING_PREFIXES)
    }
    return kept | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
