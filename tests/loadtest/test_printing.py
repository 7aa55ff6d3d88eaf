"""The sentence that says why no rate is quoted, on runs made by hand."""

from __future__ import annotations

from densebench.loadtest.plan import Found, Run
from densebench.loadtest.printing import sentence
from tests.loadtest.test_scenarios import request


def at(per_s: float | None, p99_ms: float | None, answered_per_s: float | None = None) -> Run:
    """A run with arrivals at this rate; one query at a time without a rate."""
    return Run(
        samples=299,
        duration_s=1,
        samples_per_s=answered_per_s or per_s or 100.0,
        latency_p99_ms=p99_ms,
        target_per_s=per_s,
        arrived_per_s=per_s,
    )


def said(*runs: Run) -> str:
    """What is said of them where none is the answer."""
    return sentence(request(target_p99_ms=50.0), Found(runs=(at(None, 8.0), *runs), best=None, loadgen="6"))


def test_a_rate_that_held_once_is_not_said_to_have_failed() -> None:
    """It is named with its p99, though a lower rate held too; then how far down none held with other arrivals."""
    search = at(10.0, 9.0), at(20.0, 10.0), at(40.0, None)
    assert said(*search, at(20.0, 60.0), at(19.0, 70.0), at(18.0, None)) == (
        "no rate held p99 <= 50 ms twice: 20.0 queries/s held once (p99 10.00 ms), but with other arrivals none "
        "tried from there down to 18.0 queries/s did"
    )


def test_where_no_rate_held_the_lightest_load_is_told() -> None:
    """By its p99, or by why that is not what failed."""
    start = "no rate held p99 <= 50 ms: at the lowest tried, 20.0 queries/s, "
    assert said(at(40.0, 90.0), at(20.0, 60.0)) == f"{start}it was 60.00 ms"
    assert said(at(40.0, 90.0), at(20.0, None)) == f"{start}it fell behind"
    assert said(at(40.0, 90.0), at(20.0, 10.0, 15.0)) == f"{start}only 15.0 queries/s were answered"


def test_where_no_rate_could_be_tried_that_is_told() -> None:
    """One query at a time is soon enough, but at the rates below what it can do a p99 takes too long."""
    found = Found(runs=(at(None, 9.0),), best=None, loadgen="6")
    assert sentence(request(target_p99_ms=50.0), found) == (
        "no rate was tried: a p99 of random arrivals would take too long at any that this artifact may hold; one "
        "query at a time has 9.00 ms: give more --seconds"
    )


def test_where_one_query_is_too_slow_that_is_told() -> None:
    """No rate was tried."""
    found = Found(runs=(at(None, 60.0),), best=None, loadgen="6")
    assert sentence(request(target_p99_ms=50.0), found) == (
        "no rate held p99 <= 50 ms: one query at a time has 60.00 ms"
    )
