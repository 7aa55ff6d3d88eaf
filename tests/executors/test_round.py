"""A round on this machine: what its processes are asked, and the observations that it leaves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from densebench.errors import CellFailed, CellTimedOut, DensebenchError, TooSlow, Unavailable
from densebench.executors.round import RoundRun
from densebench.executors.site import Site
from densebench.machine.interference import Interference
from densebench.planners.tasks import Process, Round
from densebench.processes import messages
from densebench.recipes.recipe import Recipe
from densebench.results.observation import MeasureObservation, ProcessSamples, Status
from tests.executors.sites import Answer, Children, Said, breaking, site_of, steady

BASELINE = "baseline"


def observed(site: Site, *processes: Process, number: int = 0) -> list[MeasureObservation]:
    """What a round of these processes leaves."""
    return list(RoundRun(site, Round(number, "sweep", processes), "round 1").run())


def ended(found: list[MeasureObservation]) -> dict[tuple[str, int], tuple[Status, str]]:
    """By cell, how it ended."""
    return {one.cell: (one.status, one.reason) for one in found if not one.discarded}


def test_every_measurement_ends_in_an_observation(tmp_path: Path) -> None:
    """In the order of the processes, each with the round's number and how many the whole round has."""
    children = Children()
    found = observed(
        site_of(tmp_path, children, batch_sizes=[1, 8]),
        Process("a", (1, 8)),
        Process(BASELINE, (1, 8)),
        Process(BASELINE, (1, 8)),
        number=7,
    )
    assert [one.cell for one in found] == [("a", 1), ("a", 8)] + 2 * [(BASELINE, 1), (BASELINE, 8)]
    assert {(one.round, one.of, one.status) for one in found} == {(7, 6, Status.OK)}
    assert children.asked == [("a", (1, 8)), (BASELINE, (1, 8)), (BASELINE, (1, 8))]
    assert children.renewed == [0], "each round is forked from processes of its own"


def test_pairs_are_taken_with_a_reference_process(tmp_path: Path) -> None:
    """One for each batch size that has pairs; every process has the same even number of pairs there."""
    children = Children()
    pairs = frozenset({8})
    observed(
        site_of(tmp_path, children, batch_sizes=[1, 8]),
        Process("a", (1, 8), pairs),
        Process("b", (8,), pairs),
        Process(BASELINE, (1, 8), pairs),
    )
    jobs = [job for job in children.jobs if isinstance(job, messages.Measure)]
    assert [[*job.references] for job in jobs] == [[8]] * 3
    (count,) = {job.pairs[8] for job in jobs}
    assert count % 2 == 0
    assert not children.references, "it ends with the round"


def test_the_baseline_alone_needs_no_reference_process(tmp_path: Path) -> None:
    """Where no other recipe is measured, nothing is compared."""
    children = Children()
    observed(site_of(tmp_path, children), Process(BASELINE, (4,), frozenset({4})))
    assert isinstance(children.jobs[0], messages.Measure)
    assert not children.jobs[0].references


def test_a_reference_process_that_does_not_come_costs_no_row(tmp_path: Path) -> None:
    """The user is told once; nobody tries again in later rounds."""
    children = Children()
    children.no_reference = CellFailed("no memory")
    site = site_of(tmp_path, children)
    processes = Process("a", (4,), frozenset({4})), Process(BASELINE, (4,), frozenset({4}))
    for number in range(2):
        found = observed(site, *processes, number=number)
        assert {one.status for one in found} == {Status.OK}
    assert isinstance(site.say, Said)
    assert site.say.notes == [
        "batch 4: the reference process ended (no memory): the remaining rounds are measured without pairs"
    ]


def test_a_crash_costs_its_cell_alone(tmp_path: Path) -> None:
    """What the process had answered stands, and the larger batch sizes have a process of their own."""
    children = Children(breaking("a", 4))
    found = observed(site_of(tmp_path, children, batch_sizes=[1, 4, 8]), Process("a", (1, 4, 8)))
    assert ended(found) == {
        ("a", 1): (Status.OK, ""),
        ("a", 4): (Status.FAILED, "ended by SIGKILL"),
        ("a", 8): (Status.OK, ""),
    }
    assert children.asked == [("a", (1, 4, 8)), ("a", (8,))]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (CellFailed("ended by SIGKILL", out_of_memory=True), Status.FAILED, "ended by SIGKILL"),
        (Unavailable("no room"), Status.SKIPPED, "no room"),
        (
            TooSlow("9 s would come too near --cell-timeout"),
            Status.SKIPPED,
            "9 s would come too near --cell-timeout 60",
        ),
    ],
    ids=["memory", "lacking", "time"],
)
def test_what_is_too_much_ends_larger_batch_sizes(
    tmp_path: Path, error: DensebenchError, status: Status, reason: str
) -> None:
    """Of the same process and of others of the recipe in the round; smaller ones and other recipes go on."""
    children = Children(breaking("a", 4, error))
    found = observed(
        site_of(tmp_path, children, batch_sizes=[1, 4, 8, 16], cell_timeout=60),
        Process("a", (4, 8)),
        Process("a", (16,)),
        Process("a", (1,)),
        Process("b", (8,)),
    )
    skipped = (Status.SKIPPED, f"as at batch 4: {reason}")
    assert ended(found) == {
        ("a", 4): (status, reason),
        ("a", 8): skipped,
        ("a", 16): skipped,
        ("a", 1): (Status.OK, ""),
        ("b", 8): (Status.OK, ""),
    }


def test_a_process_that_takes_too_long_is_timed_out(tmp_path: Path) -> None:
    """Larger batch sizes are tried: the limit is for each."""
    children = Children(breaking("a", 1, CellTimedOut("measure took more than 120 s")))
    found = observed(site_of(tmp_path, children, batch_sizes=[1, 4]), Process("a", (1, 4)))
    assert [status for status, _ in ended(found).values()] == [Status.TIMED_OUT, Status.OK]


def disturbed(times: int) -> Answer:
    """Others use the machine while a recipe is measured so many times, at batch 4."""
    left = Counter({("a", 4): times})

    def answer(recipe: str, size: int) -> ProcessSamples:
        found = steady(recipe, size)
        if left[recipe, size] > 0:
            left[recipe, size] -= 1
            mark = Interference(kind="others", text="other processes took 1.00 of 2 cores")
            return found.model_copy(update={"interference": (mark,)})
        return found

    return answer


@pytest.mark.parametrize(("times", "discarded", "marked"), [(0, 0, False), (2, 2, False), (9, 3, True)])
def test_a_disturbed_process_is_repeated_within_a_bound(
    tmp_path: Path, times: int, discarded: int, *, marked: bool
) -> None:
    """Only at the batch size that was disturbed; what stays disturbed is kept, with its mark."""
    children = Children(disturbed(times))
    site = site_of(tmp_path, children, batch_sizes=[1, 4], repeats=3)
    found = observed(site, Process("a", (1, 4)))
    assert [one.cell for one in found if one.discarded] == [("a", 4)] * discarded
    (kept,) = (one for one in found if one.cell == ("a", 4) and not one.discarded)
    assert kept.samples is not None
    assert bool(kept.samples.interference) == marked
    assert children.asked == [("a", (1, 4))] + [("a", (4,))] * discarded


def test_a_process_starts_with_its_recipe_s_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An allocator and a number of threads act from a process's start; other recipes have nothing of them."""
    wishes = {"b": {"MALLOC_X": "1", "DENSEBENCH_THREADS": "3"}}
    monkeypatch.setattr(Recipe, "environment", lambda self: wishes.get(self.name, {}))
    children = Children()
    observed(site_of(tmp_path, children), Process("b", (4,)), Process("a", (4,)))
    assert children.started == [wishes["b"], {}]


def test_what_is_emulated_is_told_how_many_rounds_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is for all of them together."""
    monkeypatch.setattr(Recipe, "slow", lambda self, device: "emulated" if self.name == "b" else None)
    children = Children()
    observed(site_of(tmp_path, children), Process("b", (4,), rounds=3), Process("a", (4,), rounds=3))
    told = {job.folder.name: job.slow_reason for job in children.jobs if isinstance(job, messages.Measure)}
    assert told == {"b": "emulated", "a": ""}


def test_traces_are_named_by_recipe_and_batch_size(tmp_path: Path) -> None:
    """A trace that fails is told, and costs no row."""

    class Failing(Children):
        def run(self, job: messages.Job, *arguments: Any) -> Any:
            found = super().run(job, *arguments)
            return found.model_copy(update={"traced": {4: "no room"}}) if self.asked[-1][0] == "b" else found

    site = site_of(tmp_path, Failing())
    found = observed(site, Process("a", (4,), traced=(4,)), Process("b", (4,), traced=(4,)))
    assert [one.trace for one in found] == ["profile/a/bs4.pt.trace.json", ""]
    assert isinstance(site.say, Said)
    assert site.say.notes == ["b, batch 4: no profile: no room"]
