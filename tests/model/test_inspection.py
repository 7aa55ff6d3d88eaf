"""What a model is seen to do, against counts made by hand."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torchvision
from torch import nn

from densebench.model.adapter import Served, served
from densebench.model.inspection import describe_effect, observe, unseen, zero_fraction
from densebench.workloads.models import construct
from tests.small import images, tiny_model

pytest_plugins = ["tests.fixtures"]


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12), 8 * 10 * 12 * 3 * 9),
        (nn.Conv2d(4, 6, (3, 1), stride=2), (4, 9, 9), 6 * 4 * 5 * 4 * 3),
        (nn.Conv2d(8, 8, 3, groups=8), (8, 6, 6), 8 * 4 * 4 * 9),
        (nn.Conv2d(8, 4, 3, groups=2, dilation=2), (8, 7, 7), 4 * 3 * 3 * 4 * 9),
        (nn.Linear(7, 5), (7,), 35),
    ],
)
def test_multiplications_of_a_layer(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    """Stride, groups, dilation and kernel shape are counted as the formula has it, for one image of the batch."""
    for batch in (1, 3):
        assert observe(layer, layer, torch.randn(batch, *shape)).macs.total() == macs


def test_densenet121_takes_what_its_paper_says() -> None:
    """DenseNet-121 at 224 pixels: 2.83 to 2.87 billion multiplications, 120 convolutions and one linear layer."""
    model = construct("densenet121", 1000, 3)  # on the meta device, which multiplies nothing
    seen = observe(model, model, torch.zeros(1, 3, 224, 224, device="meta"))
    assert 2.83e9 <= seen.macs.total() <= 2.87e9
    assert (seen.convolutions.total(), seen.linears.total()) == (120, 1)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "densenet121",
        "mobilenet_v3_small",
        "convnext_tiny",
        "vit_b_16",
        "swin_t",
        "swin_v2_t",
        "maxvit_t",
    ],
)
def test_multiplications_are_those_that_torchvision_has(name: str) -> None:
    """For every kind of model, attention in its ways among them; torchvision counts them with another tool."""
    facts = torchvision.models.get_model_weights(name).DEFAULT
    size = facts.transforms().crop_size[0]
    model = construct(name, 1000, 3)
    seen = observe(model, model, torch.zeros(1, 3, size, size, device="meta"))
    assert seen.macs.total() / 1e9 == pytest.approx(facts.meta["_ops"], rel=0.02)


def test_precision_and_layout_are_what_runs() -> None:
    """Counts follow the tensors that flow, not the settings."""
    model = tiny_model()
    seen = observe(model, model, images(2))
    assert (dict(seen.convolutions), dict(seen.layouts)) == ({"float32": 2}, {"NCHW": 2})
    changed = served(model, dtype="bfloat16", channels_last=True)
    changed.core.to(torch.bfloat16)
    seen = observe(changed.core, changed, images(2))
    assert (dict(seen.convolutions), dict(seen.linears)) == ({"bfloat16": 2}, {"bfloat16": 1})
    assert dict(seen.layouts) == {"NHWC": 2}


def test_watching_leaves_no_hook() -> None:
    """After looking, and after a failure while looking, the model is as it was."""
    model = tiny_model()
    observe(model, model, images(1))
    with pytest.raises(RuntimeError):
        observe(model, model, torch.zeros(1, 5, 8, 8))
    assert not any(part._forward_hooks for part in model.modules())


def test_the_share_of_zeros() -> None:
    """Weights of convolutions and linear layers count; biases and batch norms don't."""
    model = tiny_model()
    nn.init.zeros_(model.first.bias)
    assert zero_fraction(model) == 0
    nn.init.zeros_(model.head.weight)
    total = model.first.weight.numel() + model.second.weight.numel() + model.head.weight.numel()
    assert zero_fraction(model) == pytest.approx(model.head.weight.numel() / total)


def effect(model: Served) -> list[str]:
    """What one inference is seen to be."""
    return describe_effect(model.core, observe(model.core, model, images(1)))


def test_plain_execution_has_no_effect() -> None:
    """Nothing is said of a model that runs as FP32 NCHW does."""
    model = served(tiny_model())
    assert effect(model) == []


def test_effects_are_told_with_their_extent() -> None:
    """Precision, layout and zeros each in a few words, with how much of the model they reach."""
    model = served(tiny_model(), dtype="bfloat16", channels_last=True)
    model.core.to(torch.bfloat16)
    nn.init.zeros_(model.core.head.weight)
    said = effect(model)
    share = 100 * zero_fraction(model.core)
    assert said == [
        "bfloat16 convolutions 2/2",
        "NHWC convolutions 2/2",
        f"{share:.1f} % of the weights are zero, multiplied all the same",
    ]


def test_quantized_linear_layers_are_told_with_their_share() -> None:
    """Integer weights are seen as such, with the share of the multiplications that they take."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = served(tiny_model())
    quantize_(model.core, Int8DynamicActivationInt8WeightConfig())
    macs = observe(model.core, model, images(1)).macs
    assert macs["int8"] == 80
    assert effect(model) == [f"int8 linear layers 1/1, {100 * 80 / macs.total():.2g} % of the MACs"]


def test_a_claim_that_is_not_seen_is_no_effect() -> None:
    """Nothing is said of FP32, of what is partly seen, and of a model that has no convolution."""
    seen = Counter({"float32": 3, "bfloat16": 1})
    found = unseen("float16", seen)
    assert found is not None
    assert found.none_because == (
        "no convolution runs in float16 (seen: float32 convolutions 3/4, bfloat16 convolutions 1/4)"
    )
    assert unseen("bfloat16", seen) is unseen("float32", Counter()) is unseen("int8", Counter()) is None
