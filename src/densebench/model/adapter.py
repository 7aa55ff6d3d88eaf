"""The boundary that every recipe is measured at: FP32 NCHW images in, FP32 logits out.

A technique may want another precision or memory layout inside. `Served` holds the model and what it wants,
and does the casts and layout changes, so that they are part of what is timed and part of what is saved.
"""

from __future__ import annotations

import copy
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Settings(TypedDict, total=False):
    """What a model wants inside the boundary."""

    dtype: str
    channels_last: bool
    autocast: str


class Served(nn.Module):
    """A classifier behind the boundary.

    Args:
        core: the model; its floating-point weights are in `dtype`, and in NHWC if `channels_last`.
        dtype: name of the precision that weights and images have inside.
        channels_last: whether images are laid out NHWC inside.
        autocast: name of the precision of automatic mixed precision, or "" for none.

    """

    __constants__ = ("autocast", "autocast_dtype", "channels_last", "device_type", "dtype")

    def __init__(
        self, core: nn.Module, dtype: str = "float32", *, channels_last: bool = False, autocast: str = ""
    ) -> None:
        super().__init__()
        self.core = core
        self.dtype = DTYPES[dtype]
        self.channels_last = channels_last
        self.autocast = autocast != ""
        self.autocast_dtype = DTYPES[autocast or "float32"]
        self.device_type = next(core.parameters()).device.type

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w), float32 -> logits (n, classes), float32."""
        images = images.to(self.dtype)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.autocast:
            with torch.autocast(self.device_type, dtype=self.autocast_dtype):
                logits: Tensor = self.core(images)
        else:
            logits = self.core(images)
        return logits.float()

    def settings(self) -> Settings:
        """The arguments that make this boundary again around the same core."""
        names = {dtype: name for name, dtype in DTYPES.items()}
        return {
            "dtype": names[self.dtype],
            "channels_last": self.channels_last,
            "autocast": names[self.autocast_dtype] if self.autocast else "",
        }


def served(model: nn.Module, **changes: Unpack[Settings]) -> Served:
    """The model behind the boundary, with these settings changed; the model given is left as it is."""
    if isinstance(model, Served):
        return Served(copy.deepcopy(model.core), **(model.settings() | changes))
    return Served(copy.deepcopy(model).eval(), **changes)
