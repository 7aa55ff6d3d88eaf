"""Channel counts that come back from a state dict alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from densebench.errors import RefusedArtifact
from densebench.model.pruned_shapes import channels_removed, constructed_shape, fit_channels
from tests.small import Tiny, tiny_model
from tests.small import images as noise


class Narrow(Tiny):
    """`Tiny` with four channels where that has eight; its second convolution keeps two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.head = nn.Linear(6, 10)


def loaded(core: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """The constructed model with the state in it, by the way that artifacts are loaded."""
    fit_channels(core, state)
    core.load_state_dict(state, assign=True)
    return core.eval()


def test_a_narrow_model_comes_back_from_its_state() -> None:
    """Convolutions, a grouped one among them, batch norm and linear layer take the state's channel counts."""
    narrow = Narrow().eval()
    with torch.device("meta"):
        frame = Tiny()
    core = loaded(frame, narrow.state_dict())
    with torch.inference_mode():
        assert torch.equal(core(noise(2)), narrow(noise(2)))
    assert repr(core.first) == repr(narrow.first)
    assert repr(core.second) == repr(narrow.second)
    assert repr(core.head) == repr(narrow.head)
    assert core.norm.num_features == 4
    assert channels_removed(core) == (4 + 2, 8 + 8 + 10)
    assert constructed_shape(core.second) == (8, 4, 3, 3)
    assert channels_removed(copy.deepcopy(core)) == (6, 26)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_depthwise_convolution_loses_groups(multiplier: int) -> None:
    """Its groups are its channels: they go together."""

    def layers(width: int) -> nn.Module:
        depthwise = nn.Conv2d(width, width * multiplier, 3, groups=width)
        return nn.Sequential(nn.Conv2d(3, width, 1), depthwise, nn.Conv2d(width * multiplier, 5, 1)).eval()

    narrow = layers(6)
    core = loaded(layers(16), narrow.state_dict())
    with torch.inference_mode():
        assert torch.equal(core(noise(2)), narrow(noise(2)))
    assert repr(core) == repr(narrow)


def test_a_whole_model_is_left_alone() -> None:
    """The state of the model as constructed replaces no tensor and removes no channel."""
    core = tiny_model()
    before = dict(core.named_parameters())
    fit_channels(core, core.state_dict())
    assert all(value is before[name] for name, value in core.named_parameters())
    assert channels_removed(core) == (0, 26)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("first.weight", (8, 3, 5, 5), "first has another kernel"),
        ("first.weight", (8, 24), "first has another kernel or rank"),
        ("first.weight", (8, 1, 3, 3), "other inputs or classes"),
        ("head.weight", (7, 8), "other inputs or classes"),
    ],
)
def test_what_is_no_channel_count_is_refused(name: str, shape: tuple[int, ...], said: str) -> None:
    """Kernels, inputs and classes are the model's: a state with others is of another model."""
    core = tiny_model()
    with pytest.raises(RefusedArtifact, match=said):
        fit_channels(core, core.state_dict() | {name: torch.zeros(shape)})


def test_layers_of_other_kinds_keep_their_shape() -> None:
    """A layer norm's width is written into the model's code."""
    core = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    with pytest.raises(RefusedArtifact, match="LayerNorm"):
        fit_channels(core, core.state_dict() | {"1.weight": torch.zeros(4)})
