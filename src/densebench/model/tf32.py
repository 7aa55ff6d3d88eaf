"""FP32 is FP32: CUDA's default for convolutions is TF32, which keeps 11 significant bits of 24."""

from __future__ import annotations


def turn_tf32_off() -> None:
    """Make CUDA compute FP32 in FP32."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
