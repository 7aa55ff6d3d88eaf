"""The boundary: FP32 NCHW in, FP32 logits out, whatever happens inside."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densebench.model.adapter import DTYPES, Served, served
from tests.small import CLASSES, images, tiny_model

pytest_plugins = ["tests.fixtures"]

SETTINGS = [  # autocast is for FP32 weights: no recipe stacks it on another precision
    {"dtype": dtype, "channels_last": nhwc, "autocast": autocast}
    for dtype, nhwc, autocast in product(DTYPES, (False, True), ("", "bfloat16"))
    if not autocast or dtype == "float32"
]


class Spy(nn.Module):
    """Notes what reaches the core."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core
        self.seen: list[tuple[torch.dtype, bool, bool]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        nhwc = inputs.is_contiguous(memory_format=torch.channels_last)
        self.seen.append((inputs.dtype, nhwc, torch.is_autocast_enabled("cpu")))
        return self.core(inputs)


def boundary(settings: dict[str, Any]) -> Served:
    """The small model behind a boundary with these settings."""
    model = served(tiny_model(), **settings)
    model.core.to(DTYPES[settings["dtype"]])
    return model


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_fp32_goes_in_and_comes_out(settings: dict[str, Any]) -> None:
    """Every setting takes contiguous FP32 and gives finite FP32 logits near the plain model's."""
    inputs = images(4)
    with torch.inference_mode():
        expected = tiny_model()(inputs)
        logits = boundary(settings)(inputs)
    assert logits.dtype is torch.float32
    assert logits.shape == (4, CLASSES)
    assert torch.allclose(logits, expected, atol=0.05)
    assert (inputs.dtype, inputs.is_contiguous()) == (torch.float32, True)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_core_sees_what_the_settings_say(settings: dict[str, Any]) -> None:
    """Inside the boundary the images have the precision and the layout asked for, and autocast is on if asked."""
    model = boundary(settings)
    model.core = spy = Spy(model.core)
    with torch.inference_mode():
        model(images(2))
    assert spy.seen == [(DTYPES[settings["dtype"]], settings["channels_last"], settings["autocast"] != "")]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_settings_make_the_same_boundary_again(settings: dict[str, Any]) -> None:
    """What a manifest keeps of a boundary is enough to make it around the same core."""
    model = boundary(settings)
    assert model.settings() == settings
    again = Served(model.core, **model.settings())
    with torch.inference_mode():
        assert torch.equal(again(images(2)), model(images(2)))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_setting_can_be_scripted(settings: dict[str, Any]) -> None:
    """TorchScript compiles the boundary with its casts, and computes what Python does."""
    model = boundary(settings).eval()
    scripted = torch.jit.freeze(torch.jit.script(model))
    with torch.inference_mode():
        logits = scripted(images(3))
        assert logits.dtype is torch.float32
        assert torch.allclose(logits, model(images(3)), atol=0.05)


def test_the_model_given_is_left_untouched() -> None:
    """A boundary has a core of its own: casting or changing it leaves the caller's model as it was."""
    model = tiny_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outer = served(model, dtype="bfloat16")
    inner = served(outer, channels_last=True)
    for changed in (inner, outer):
        assert changed.core.head.weight.dtype is torch.float32
        assert changed.core.head.weight.any()
        changed.core.to(torch.bfloat16)
        nn.init.zeros_(changed.core.head.weight)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.head.weight.dtype is torch.float32
    assert outer.settings()["channels_last"] is False


def test_a_boundary_is_not_put_into_a_boundary() -> None:
    """Serving what is served keeps the settings that are not changed, around one core."""
    model = served(served(tiny_model(), channels_last=True), dtype="float16")
    assert model.settings() == {"dtype": "float16", "channels_last": True, "autocast": ""}
    assert not any(isinstance(part, Served) for part in model.core.modules())


def test_a_raw_model_is_served_in_eval_mode() -> None:
    """A batch norm never takes the statistics of a measured batch."""
    assert not any(part.training for part in served(tiny_model().train()).core.modules())
