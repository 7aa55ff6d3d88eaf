"""The ceilings in a run's header, and the sentence about them."""

from __future__ import annotations

from typing import Any

import pytest

from densebench.report.analysis import analyse
from densebench.report.ceilings import ceilings_of
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


@pytest.mark.parametrize("kept", [None, "", {}, {"compute": {}}, {"device": "cpu", "threads": 2, "more": 1}])
def test_a_header_without_ceilings(kept: Any) -> None:
    """Reports of earlier runs, and of other versions, are written without."""
    assert ceilings_of({"cpu": "Some CPU", "ceilings": kept}) is None
    assert ceilings_of({"cpu": "Some CPU"}) is None
