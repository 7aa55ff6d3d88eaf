"""Which layers oneDNN executes, in which precision and layout: by its own account of one inference."""

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
# …,src:u8::blocked:acdb::f0 …,alg:convolution_direct,mb2_ic8oc8_ih16oh8kh3…_iw16ow8kw3…,0.05
_LAYOUT = re.compile(
    r"exec,cpu,convolution,[^,]*,[^,]*,src[:_]\w+?:\w*:blocked:(\w+):.*?_ic(\d+)oc.*?_ih(\d+)oh.*?_iw(\d+)ow"
)
_INSTRUCTIONS = re.compile(r"^onednn_verbose,.*?info,cpu,isa:(.*)", re.MULTILINE)
NHWC = "acdb"  # as oneDNN writes it: n, h, w, c; its own layouts hold blocks of channels, such as aBcd16b


def kinds(log: str) -> Counter[tuple[str, str]]:
    """What a log says was executed, as (kind, precision of its input): `("convolution", "int8")`.

    Other kinds are `matmul`, `inner_product` and `reorder`, a change of layout. What another library executes
    isn't seen.
    """
    return Counter((kind, PRECISIONS.get(type_, type_)) for kind, type_ in _EXECUTED.findall(log))


def layouts(log: str) -> Counter[str]:
    """How many convolutions of a log read `NHWC`, and how many `other`; a single pixel or channel lies in both."""
    return Counter(
        "NHWC" if layout == NHWC else "other"
        for layout, channels, height, width in _LAYOUT.findall(log)
        if channels != "1" and (height, width) != ("1", "1")
    )


def instructions() -> str:
    """The instruction sets that oneDNN says it uses; it says so once in a process, else this is empty."""
    import torch

    images, weights = torch.ones(2, 16, 32, 32), torch.ones(16, 16, 3, 3)
    found = _INSTRUCTIONS.search(log_of(lambda: torch.nn.functional.conv2d(images, weights)))
    return found[1].strip() if found else ""


def log_of(run: Callable[[], object]) -> str:
    """Call it once; what oneDNN prints meanwhile (`DNNL_VERBOSE`): its standard output goes to a file."""
    import torch

    with tempfile.TemporaryFile() as file:
        with _standard_output(file), torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):  # type: ignore[no-untyped-call]
            run()
        file.seek(0)
        return file.read().decode(errors="replace")


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
