"""Why figures of a row that ran are blank, and calls that are too short for the clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from densebench.results.ceilings import ceilings_of
from densebench.results.columns import COLUMNS
from densebench.results.derive import derive
from densebench.results.header import METHODS
from densebench.results.missing import Known
from densebench.results.observation import Status
from densebench.results.record import Row
from tests.factory import header, record

CEILINGS = {
    "device": "cpu",
    "threads": 2,
    "compute": {"float32": {"gop_per_s": 400.0, "engine": "eager"}},
    "memory_gb_per_s": 70.0,
}
KNOWN = Known(ceilings=ceilings_of(CEILINGS), clock_step_us=0.05)


def full(recipe: str = "baseline", ms: float = 10.0, count: int = 100, **changes: Any) -> Any:
    """A record that leaves no figure blank: three rounds, with as many calls each."""
    facts: dict[str, Any] = {
        "samples_ms": ((ms,) * count,) * 3,
        "rounds": (0, 1, 2),
        "build_s": 1.0,
        "macs_g": 2.9,
        "precision": "float32",
        "energy_j_per_image": 1.0,
        "deploy_start_s": 1.0,
        "deploy_memory_mb": 200.0,
        "deploy_throughput_samples_per_s": 90.0,
    }
    return record(**{"recipe": recipe} | facts | changes)


def last(*records: Any, known: Known | None = KNOWN) -> Row:
    """The row of the last record."""
    return derive(records, known=known)[-1]


def test_a_row_without_blanks_gives_no_reasons() -> None:
    """Neither the baseline nor what is faster than it."""
    assert last(full()).reasons == last(full(), full("a", 5.0)).reasons == ""


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (40, "p99 needs 299 batches, has 120"),
        (15, "p95 to p99 need 59 to 299 batches, have 45"),
        (1, "p50 to p99 need 5 to 299 batches, have 3"),
    ],
)
def test_percentiles_need_batches(count: int, said: str) -> None:
    """One phrase for all that are blank."""
    assert last(full(count=count)).reasons == said


def test_intervals_need_rounds() -> None:
    """One round has none."""
    assert (
        last(full(samples_ms=((1.0,) * 300,), rounds=(0,))).reasons == "intervals need two rounds, have one"
    )


@pytest.mark.parametrize(
    ("ms", "build_s", "said"),
    [
        (10.0, 5.0, "no break-even: not clearly faster than the baseline"),
        (20.0, 5.0, "no break-even: not clearly faster than the baseline"),
        (5.0, None, "no break-even: a build time is not known"),
    ],
)
def test_a_build_that_does_not_pay(ms: float, build_s: float | None, said: str) -> None:
    """It saves nothing for certain, or nobody knows what it cost."""
    assert last(full(), full("a", ms, build_s=build_s)).reasons == said


@pytest.mark.parametrize(
    ("own", "baselines", "said"),
    [
        ({"accuracy_top1": 90.0}, None, "no accuracy drop: the baseline's is not known"),
        ({"accuracy_top1": 90.0, "top1_agreement": 0.9, "output_sqnr_db": 20.0}, 91.0, ""),
        (
            {"accuracy_top1": 91.0, "top1_agreement": 1.0},
            91.0,
            "no SQNR: the outputs equal the baseline's to the last bit, or are not finite",
        ),
        (
            {"top1_agreement": 0.9, "output_sqnr_db": 20.0, "agreement_images": 7},
            None,
            "agreement with the baseline is on 7 unlabelled images",
        ),
        (
            {"top1_agreement": 0.9, "output_sqnr_db": 20.0, "agreement_images": 64, "agreement_on_noise": True},
            None,
            "agreement with the baseline is on 64 random images, which says less than real ones would",
        ),
    ],
)
def test_accuracy_that_has_nothing_to_be_compared_with(
    own: dict[str, Any], baselines: float | None, said: str
) -> None:
    """Its images took too long in the baseline's session; or there is no difference to measure."""
    facts = {"accuracy_top1": None, "top1_agreement": None, "output_sqnr_db": None} | own
    row = last(full(accuracy_top1=baselines), full("a", 5.0, **facts))
    assert row.reasons == said


def test_without_a_baseline_there_is_no_speed_up() -> None:
    """One phrase for it and for what follows from it."""
    assert last(full("a")).reasons == "no speed-up: no baseline measured in the same rounds"


@pytest.mark.parametrize(
    ("changes", "known", "said"),
    [
        ({}, Known(), "no ceiling is known here"),
        ({"macs_g": None}, KNOWN, "its multiplications were not counted"),
        ({"threads": 1}, KNOWN, "the ceilings are of 2 threads"),
        ({"precision": "float16"}, KNOWN, "no ceiling in float16 here"),
        ({"precision": ""}, KNOWN, "no ceiling in its precision here"),
    ],
)
def test_a_share_of_no_ceiling(changes: dict[str, Any], known: Known, said: str) -> None:
    """What it lacks: the first of these that holds."""
    row = last(full(**changes), known=known)
    assert row.reasons == f"no roofline fraction: {said}"


@pytest.mark.parametrize(
    ("no_energy", "said"),
    [("no counter here", "no counter here"), ("", "below what the counter can tell from idling")],
)
def test_energy_that_is_not_told(no_energy: str, said: str) -> None:
    """There is no counter, or it counts too coarsely."""
    row = last(full(energy_j_per_image=None), known=replace(KNOWN, no_energy=no_energy))
    assert row.reasons == f"no energy: {said}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"deploy_memory_mb": None}, "no deploy memory: not measured"),
        (
            {
                "deploy_memory_mb": None,
                "deploy_throughput_samples_per_s": None,
                "deploy_reason": "not done in 120 s",
            },
            "no deploy memory and throughput: not done in 120 s",
        ),
    ],
)
def test_a_program_that_told_nothing_has_its_reason(changes: dict[str, Any], said: str) -> None:
    """Which of its figures are blank, and what its run came to."""
    assert last(full(**changes)).reasons == said


def test_the_column_has_all_reasons_and_the_record_its_own() -> None:
    """Joined, the record's first; without the machine's facts none that depend on it."""
    row = last(full(count=40, reason="accuracy not measured: no labels", energy_j_per_image=None), known=None)
    column = next(column for column in COLUMNS if column.name == "reason")
    assert column.text(row) == "accuracy not measured: no labels; p99 needs 299 batches, has 120"
    assert row.reason == "accuracy not measured: no labels"


def test_what_did_not_run_has_its_own_reason_only() -> None:
    """Its figures are blank for that."""
    assert last(record(status=Status.FAILED, reason="boom")).reasons == "boom"


@pytest.mark.parametrize(("step_us", "short"), [(None, False), (10.0, False), (10.1, True)])
def test_calls_are_as_long_as_a_hundred_steps_of_the_clock(step_us: float | None, *, short: bool) -> None:
    """The middle one of a row's calls; measuring again would not help, so the row isn't called unstable."""
    row = last(full(ms=1.0, stable=True, interference="a backup"), known=replace(KNOWN, clock_step_us=step_us))
    assert ("calls of 1000 us are shorter than 100 steps of the clock" in row.reasons) is short
    assert row.interference == "a backup"
    assert row.stable is True


def test_a_header_tells_what_is_known() -> None:
    """Of the ceilings, of energy and of the clock; older headers know of none."""
    found = header(ceilings=CEILINGS, energy=METHODS[0], clock_step_us=0.05)
    assert found.known == KNOWN
    assert header(energy="no counter").known == Known(no_energy="no counter")
    assert header().known == Known(no_energy="the machine was not surveyed")
