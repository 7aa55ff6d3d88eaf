"""The sentence about shares of the machine's ceilings."""

from __future__ import annotations

import pytest

from densebench.report.analysis import PERFORMANCE, analyse
from densebench.report.facts import sweep_of
from densebench.report.sweep import Sweep, apply
from densebench.results.ceilings import ceilings_of
from densebench.results.derive import derive
from tests.factory import header, rows_of, timed

SPEEDS = {"baseline": {1: 20.0, 8: 30.0}, "x": {8: 90}}
FRACTIONS = {"baseline": 0.12, "x": 0.61}


def test_the_sentence_says_whose_ceiling() -> None:
    """A row is held against its own precision's ceiling, by name."""
    rows = rows_of(SPEEDS, roofline_fraction=FRACTIONS, precision={"baseline": "float32", "x": "bfloat16"})
    (said,) = [one.sentence for one in analyse(Sweep(tuple(rows))) if one.topic == "ceiling"]
    assert said == (
        "Closest to this machine's measured ceiling: x with 61 % of the BF16 ceiling at batch 8; "
        "furthest: baseline with 12 % of the FP32 ceiling at batch 8."
    )


def test_a_row_above_the_survey_is_told() -> None:
    """Its ceiling is what it reached, for the whole report, and one sentence says what was known before."""
    surveyed = {"float32": {"gop_per_s": 1100.0, "engine": "one"}}
    facts = {"device": "cpu", "threads": 2, "compute": surveyed, "memory_gb_per_s": 70.0}
    run = header(ceilings=facts)
    both = [
        timed(name, 8, speed, precision="float32", macs_g=2.0)
        for name, speed in (("baseline", 31), ("x", 310))
    ]
    rows = derive(both, known=run.known)
    assert [row.roofline_fraction for row in rows] == [pytest.approx(0.1), 1.0]
    sweep = sweep_of(run, rows)
    nearest, raised = [one for one in apply(PERFORMANCE, sweep) if one.topic == "ceiling"]
    assert "x with 100 % of the FP32 ceiling" in nearest.sentence
    assert "baseline with 10 % of the FP32 ceiling" in nearest.sentence
    assert raised.sentence == (
        "x at batch 8 reached 1,240 GOP/s, above the FP32 ceiling of 1,100 that was known before: the ceiling is now "
        "1,240, from this row."
    )
    assert raised.evidence == (("x", 8),)
    assert ceilings_of(run.ceilings) == ceilings_of(facts), "the journal keeps what was surveyed"
    below = sweep_of(run, rows[:1])
    assert "above" not in " ".join(one.sentence for one in apply(PERFORMANCE, below))
