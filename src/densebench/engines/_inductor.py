"""What Inductor is told while it compiles; the process is given back as it was."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
LAUNCHERS = {"ccache", "sccache", "distcc", "icecc"}  # each runs the compiler that its first argument names


@contextmanager
def inductor(cache: str, *, freezing: bool, **settings: object) -> Iterator[None]:
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
    command = os.environ.get("CXX")
    if command is None:
        return None if shutil.which("g++") else "install g++"
    return None if _runs(command) else f"install g++, or name a C++ compiler in CXX (now '{command}')"


def _runs(command: str) -> bool:
    """Whether the programs of a compiler's command exist: the compiler, and a launcher such as ccache before it."""
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote
        return False
    programs = words[: 2 if words and Path(words[0]).name in LAUNCHERS else 1]
    return bool(programs) and all(shutil.which(program) for program in programs)


def no_triton() -> str | None:
    """What to install where Triton can't compile what starts its kernels on a GPU: a C compiler, Python's headers."""
    command = os.environ.get("CC")
    if command is None:
        found = shutil.which("gcc") or shutil.which("clang")
        return no_headers() if found else "install gcc"
    if shutil.which(command):
        return no_headers()
    return f"install gcc, or name a C compiler in CC, one program without arguments (now '{command}')"
