"""What Inductor is told while it compiles; the process is given back as it was."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def inductor(cache: str, *, freezing: bool, **settings: Any) -> Iterator[None]:
    """Within this context Inductor writes to the folder `cache` and has these settings, beside those of all builds.

    They are part of its cache's key, so a build and the process that loads its cache must have the same.
    """
    import torch
    from torch._inductor import config

    from densebench.engines._inductor_packing import PackConvolutions

    patch = {
        # Inductor would parse a header of its own in every process, for kernels that don't use it
        "cpp_cache_precompile_headers": False,
        # trying out each vector instruction set starts a Python with PyTorch, a dozen times in every process; the
        # processor's flags are read all the same
        "cpp.vec_isa_ok": True,
        # importing torchao's quantizer sets it, in a process that builds INT8 and in no other
        "pre_grad_custom_pass": None,
        "freezing": freezing,
        "post_grad_custom_pre_pass": PackConvolutions() if freezing else None,
        **settings,
    }
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = cache
    try:
        # NNPACK takes batches below 16 only, and the graph would be bound to that, although oneDNN goes first
        with torch.backends.nnpack.flags(enabled=False), config.patch(patch):
            yield
    finally:
        if before is None:
            os.environ.pop(CACHE_VARIABLE, None)
        else:
            os.environ[CACHE_VARIABLE] = before


def no_headers() -> str | None:
    """What to install where the headers are missing that Inductor's kernels are bound to Python with."""
    folder = Path(sysconfig.get_path("include", scheme="posix_prefix"))  # where Inductor looks for them
    return (
        None
        if (folder / "Python.h").exists()
        else f"install Python's headers (python3-dev): {folder} has none"
    )


def no_compiler() -> str | None:
    """What to install where Inductor finds no C++ compiler."""
    return None if shutil.which(os.environ.get("CXX", "g++")) else "install g++"
