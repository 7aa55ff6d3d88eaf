"""Distances between outputs, checked against noise of a known level."""

from __future__ import annotations

import math

import pytest
import torch

from densebench.model.fidelity import probe_images, relative_difference, sqnr_db


@pytest.mark.parametrize("decibels", [0, 10, 20, 40, 80])
def test_noise_of_a_known_level(decibels: float) -> None:
    """Noise that is d dB below the signal gives d dB."""
    reference = probe_images((3, 8, 8), 1, 64)
    noise = probe_images((3, 8, 8), 2, 64)
    noise *= 10 ** (-decibels / 20) * reference.norm() / noise.norm()
    assert sqnr_db(reference.double() + noise.double(), reference) == pytest.approx(decibels, abs=0.01)


def test_a_scale_is_a_difference() -> None:
    """Outputs that are 1 % too large are 1 % off."""
    reference = torch.randn(5, 10)
    assert relative_difference(1.01 * reference.double(), reference) == pytest.approx(0.01)
    assert sqnr_db(1.01 * reference.double(), reference) == pytest.approx(40)


def test_equal_outputs_have_no_ratio() -> None:
    """Equal to the last bit: the difference is 0 and the ratio is infinite, which is no figure."""
    reference = torch.randn(5, 10)
    assert relative_difference(reference.clone(), reference) == 0
    assert sqnr_db(reference.clone(), reference) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_output_that_is_not_finite_is_infinitely_far(bad: float) -> None:
    """No tolerance forgives a NaN or an overflow, and no ratio hides it."""
    reference = torch.randn(5, 10)
    outputs = reference.clone()
    outputs[3, 4] = bad
    assert relative_difference(outputs, reference) == math.inf
    assert sqnr_db(outputs, reference) is None


def test_another_shape_is_infinitely_far() -> None:
    """Outputs of another shape are not broadcast into agreement."""
    assert relative_difference(torch.ones(5, 1), torch.ones(5, 10)) == math.inf


def test_a_reference_of_zeros_divides_nothing() -> None:
    """Zeros against zeros agree; anything else against zeros is far off, and no error."""
    zeros = torch.zeros(2, 3)
    assert relative_difference(zeros, zeros) == 0
    assert relative_difference(zeros + 1, zeros) > 1e20


def test_probes_follow_from_their_seed() -> None:
    """Another process draws the same images from the seed; the global stream is not touched."""
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again, other = (
        probe_images((3, 4, 4), 5, 2),
        probe_images((3, 4, 4), 5, 2),
        probe_images((3, 4, 4), 6, 2),
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (2, 3, 4, 4)
    assert torch.equal(torch.random.get_rng_state(), before)
