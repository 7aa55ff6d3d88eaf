"""Random weights and noise: what is left when only speed is asked for."""

from __future__ import annotations

import pytest
import torch

from densebench.errors import UsageError
from densebench.workloads import WorkloadRequest, open_workload


def test_random_weights_follow_the_seed_only() -> None:
    """The same seed gives the same weights and hash, another seed others, and no one's stream moves."""
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (
        open_workload(WorkloadRequest("resnet18", "random", image_size=32, seed=s)).weights for s in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first.state[key], again.state[key]) for key in first.state)
    assert not torch.equal(first.state["fc.weight"], other.state["fc.weight"])
    assert first.sha256 == again.sha256 != other.sha256
    assert len(first.classes) == 1000
    assert "accuracy means nothing" in first.notes[0]


def test_no_data_is_seeded_noise() -> None:
    """There is nothing to validate with, and a larger batch starts with the smaller one's images."""
    data = open_workload(WorkloadRequest("resnet18", "random", "none", 32, seed=4)).data
    assert data.calibration is data.validation is data.training is None
    assert data.timing(3).shape == (3, 3, 32, 32)
    assert data.timing(3).dtype == torch.float32
    assert torch.equal(data.timing(5)[:3], data.timing(3))
    assert abs(float(data.timing(8).mean())) < 0.05


def test_a_workload_of_vgg_runs() -> None:
    """A model from a family of another build gives one logit per class."""
    workload = open_workload(WorkloadRequest("vgg11_bn", "random", image_size=32))
    assert workload.input_shape == (3, 32, 32)
    with torch.inference_mode():
        assert workload.build_model()(workload.data.timing(1)).shape == (1, 1000)


@pytest.mark.parametrize("size", [0, -1])
def test_an_impossible_image_size_is_refused(size: int) -> None:
    """An image has at least one pixel."""
    with pytest.raises(UsageError, match="--image-size"):
        open_workload(WorkloadRequest(image_size=size))
