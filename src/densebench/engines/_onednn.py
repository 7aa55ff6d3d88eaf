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

_PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "u8": "int8", "s8": "int8"}
# onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx512_core_vnni,forward_inference,src:u8::…
_EXECUTED = re.compile(
    r"^onednn_verbose,.*?exec,cpu,(convolution|inner_product|matmul),[^,]*,[^,]*,src[:_](\w+?):", re.MULTILINE
)


def executed(run: Callable[[], object]) -> tuple[Counter[str], Counter[str]]:
    """Call it once; count its convolutions, and its matrix products, by the precision of their inputs.

    What is executed by another library isn't seen. The log is oneDNN's (`DNNL_VERBOSE`), written to standard
    output, which goes to a file meanwhile.
    """
    import torch

    with tempfile.TemporaryFile() as file:
        with _standard_output(file), torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            run()
        file.seek(0)
        log = file.read().decode(errors="replace")
    convolutions: Counter[str] = Counter()
    products: Counter[str] = Counter()
    for kind, precision in _EXECUTED.findall(log):
        (convolutions if kind == "convolution" else products)[_PRECISIONS.get(precision, precision)] += 1
    return convolutions, products


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
