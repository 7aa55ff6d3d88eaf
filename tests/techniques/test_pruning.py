"""L1 pruning: exactly the weights of least magnitude, for good, and in fewer bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from densebench.model.adapter import Served
from densebench.model.inspection import zero_fraction
from densebench.model.state_dict_file import save_weights
from densebench.techniques.pruning import pruning

pytest_plugins = ["tests.fixtures"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A few layers of different scale, a bias, a batch norm."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 40, 3), nn.BatchNorm2d(40), nn.Conv2d(40, 20, 5), nn.Flatten(), nn.Linear(20, 10)
    )
    with torch.no_grad():
        layers[4].weight.mul_(3)
    return layers


def weights(module: nn.Module) -> Tensor:
    """All weights that pruning may touch, in one row."""
    found = [m.weight.detach().flatten() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return torch.cat(found)


@pytest.mark.parametrize("amount", [0.001, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_exactly_the_share_of_least_magnitude_is_zero(model: nn.Module, amount: float) -> None:
    """Over all layers at once, the smallest weights are zero and all others are what they were."""
    changed = pruning(model, amount=amount)
    before, after = weights(model), weights(changed)
    count = round(amount * before.numel())
    assert int((after == 0).sum()) == count
    assert zero_fraction(changed) == pytest.approx(amount, abs=1 / before.numel())
    smallest = before.abs().topk(count, largest=False).indices
    expected = before.clone()
    expected[smallest] = 0
    assert torch.equal(after, expected)


def test_it_is_permanent(model: nn.Module) -> None:
    """No mask and no original stay beside the weights: the state dict has the names and bytes it had."""
    changed = pruning(model, amount=0.5)
    assert isinstance(changed, Served)
    assert set(changed.core.state_dict()) == set(model.state_dict())
    assert dict(changed.core.named_buffers()).keys() == dict(model.named_buffers()).keys()
    assert not any(part._forward_pre_hooks for part in changed.core.modules())
    assert all(isinstance(m.weight, nn.Parameter) for m in changed.core.modules() if isinstance(m, nn.Conv2d))


def test_zeros_have_no_sign(model: nn.Module) -> None:
    """A pruned negative weight is a zero like any other, so that the file's mask leaves it out."""
    after = weights(pruning(model, amount=0.9))
    assert not torch.signbit(after[after == 0]).any()


def test_biases_and_batch_norms_are_left_alone(model: nn.Module) -> None:
    """Only the weights of convolutions and linear layers are pruned."""
    changed = pruning(model, amount=0.9).core.state_dict()
    for name, value in model.state_dict().items():
        if name.endswith("bias") or name.startswith("1."):
            assert torch.equal(changed[name], value)


def test_the_file_is_smaller(model: nn.Module, tmp_path: Path) -> None:
    """At 50 % the file takes about half the bytes, and one bit for each weight."""
    save_weights(tmp_path / "full", model.state_dict())
    save_weights(tmp_path / "half", pruning(model, amount=0.5).core.state_dict())
    full, half = ((tmp_path / name).stat().st_size for name in ("full", "half"))
    assert half == pytest.approx(full * (0.5 + 1 / 32), rel=0.05)
