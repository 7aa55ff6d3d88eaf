"""What an exported program is seen to multiply, against counts made by hand and on the model itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from densebench.engines import _exported, aot_inductor
from densebench.model.adapter import served
from densebench.model.inspection import observe
from tests.small import images, tiny_model

BATCH = 4


@pytest.mark.parametrize("settings", [{}, {"channels_last": True}, {"autocast": "bfloat16"}])
def test_every_layer_is_found_with_its_weights(settings: dict[str, Any]) -> None:
    """Under autocast too, which is a graph within the graph: channels, zeros, weights and multiplications."""
    model = served(tiny_model(), **settings)
    nn.init.zeros_(model.core.second.weight)
    # as in a build: NNPACK would bind the graph to small batches
    with torch.backends.nnpack.flags(enabled=False), torch.no_grad():
        found = _exported.layers(aot_inductor.exported(model, images(BATCH)))
    assert [one.operator for one in found] == ["conv2d", "conv2d", "linear"]
    assert _exported.weights(found) == [[8, 0, 216], [8, 288, 288], [10, 0, 80]]
    seen = observe(model.core, model, images(BATCH))
    assert sum(map(_exported.macs, found)) == BATCH * seen.macs.total()


def layer(operator: str, weight: torch.Tensor | None, *output: int) -> _exported.Layer:
    """A layer with an output of this shape."""
    node: Any = SimpleNamespace(meta={"val": torch.zeros(output)})
    return _exported.Layer(operator, weight, node)


def test_quantized_layers_are_told_by_their_weights() -> None:
    """With their share of the multiplications, where all are known; zeros that rounding may have made don't count."""
    convolution = layer("conv2d", torch.zeros(8, 4, 3, 3, dtype=torch.int8), 2, 8, 3, 3)
    linear = layer("linear", torch.ones(10, 8), 2, 10)
    share = 144 * 36 / (144 * 36 + 20 * 8)
    assert _exported.quantized([convolution, linear]) == {
        "convolutions": 1,
        "linears": 0,
        "macs_share": pytest.approx(share),
    }
    assert _exported.weights([convolution, linear]) == [[8, 0, 288], [10, 0, 80]]
    assert _exported.quantized([convolution, layer("linear", None, 2, 10)]) == {}
