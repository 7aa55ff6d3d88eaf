"""The sentence about shares of the machine's ceilings."""

from __future__ import annotations

from densebench.report.analysis import analyse
from tests.factory import rows_of

SPEEDS = {"baseline": {1: 20.0, 8: 30.0}, "x": {8: 90}}
FRACTIONS = {"baseline": 0.12, "x": 0.61}


def test_the_sentence_says_whose_ceiling() -> None:
    """A row is held against its own precision's ceiling, by name."""
    rows = rows_of(SPEEDS, roofline_fraction=FRACTIONS, precision={"baseline": "float32", "x": "bfloat16"})
    (said,) = [one.sentence for one in analyse(rows) if one.topic == "ceiling"]
    assert said == (
        "Closest to this machine's measured ceiling: x with 61 % of the BF16 ceiling at batch 8; "
        "furthest: baseline with 12 % of the FP32 ceiling at batch 8."
    )
