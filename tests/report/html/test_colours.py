"""The recipes' colours, as those see them who lack one kind of cone."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from densebench.report.html.style import THEMES

LEAST = 15  # CIE Lab (1976); a difference of 2 is just seen side by side
# Machado, Oliveira & Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009:
# linear RGB, the whole kind of cone missing.
VISION = {
    "usual": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour: str, vision: Any) -> np.ndarray:
    """A colour in CIE Lab under D65, as seen with this vision."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    ratios = TO_XYZ @ np.clip(np.asarray(vision) @ linear, 0, 1) / TO_XYZ.sum(axis=1)
    bent = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * bent[1] - 16, 500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES)
def test_no_two_colours_look_alike(theme: str, vision: str) -> None:
    """Every pair of recipes' colours is far enough apart in both themes."""
    colours = [colour for token, colour in THEMES[theme].items() if token[1:].isdigit()]
    assert len(colours) == 8
    for one, other in combinations(colours, 2):
        apart = np.linalg.norm(lab(one, VISION[vision]) - lab(other, VISION[vision]))
        assert apart >= LEAST, (one, other)


def test_the_measure_itself() -> None:
    """White and red are where CIE Lab has them; red and green that deutans mix up come close."""
    assert lab("#FFFFFF", VISION["usual"]) == pytest.approx([100, 0, 0], abs=0.01)
    assert lab("#FF0000", VISION["usual"]) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    red, green = "#C06000", "#8A7B00"
    usual, deutan = (
        np.linalg.norm(lab(red, VISION[one]) - lab(green, VISION[one])) for one in ("usual", "deutan")
    )
    assert deutan < usual / 3
