"""Which layers oneDNN executes, and in which precision: by its own account of one inference."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "u8": "int8", "s8": "int8"}
# onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx512_core,forward_inference,src:u8::blocked:…
_EXECUTED = re.compile(r"^onednn_verbose,.*?exec,cpu,(\w+),[^,]*,[^,]*,src[:_](\w+?):", re.MULTILINE)


def executed(run: Callable[[], object]) -> Counter[tuple[str, str]]:
    """Call it once; count what oneDNN executes, as (kind, precision of its input): `("convolution", "int8")`.

    Other kinds are `matmul`, `inner_product` and `reorder`, a change of layout. What another library executes
    isn't seen. oneDNN prints its log (`DNNL_VERBOSE`) to standard output, which goes to a file meanwhile.
    """
    import torch

    with tempfile.TemporaryFile() as file:
        with _standard_output(file), torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):  # type: ignore[no-untyped-call]
            run()
        file.seek(0)
        log = file.read().decode(errors="replace")
    return Counter((kind, PRECISIONS.get(type_, type_)) for kind, type_ in _EXECUTED.findall(log))


@contextmanager
def _standard_output(file: BinaryIO) -> Iterator[None]:
    """What this process prints, C libraries included, goes to the file."""
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    libc.fflush(None)
    kept = os.dup(1)
    os.dup2(file.fileno(), 1)
    try:
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
