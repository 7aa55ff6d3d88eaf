"""Records from observations: what all processes of a recipe at a batch size amount to."""

from __future__ import annotations

from typing import Any

import pytest

from densebench.machine.interference import Interference
from densebench.results.assemble import confirmation_records, interference_text, records
from densebench.results.observation import Observation, Status
from densebench.results.record import Record
from tests.factory import IDENTITY, samples
from tests.journals import built, evaluated, measured

MADE: list[Observation] = [built(), evaluated(accuracy_top1=99.0, model_size_mb=30.0, build_s=2.0)]
BROKEN = {"status": Status.FAILED, "reason": "boom"}
BACKUP = Interference(kind="others", text="others used half a CPU")
SWAP = Interference(kind="swap", text="memory was swapped")
HEAT = Interference(kind="clock", text="the clock fell by 20 %")


def one(observations: list[Observation], cell: tuple[str, int] = ("baseline", 1)) -> Record:
    """The record of one cell."""
    (found,) = records(observations, IDENTITY, [cell])
    return found


def rounds(count: int, **changes: Any) -> list[Observation]:
    """So many rounds of one process."""
    return [measured(number=number, ms=10.0 + number, **changes) for number in range(count)]


def test_a_record_is_the_evaluation_and_the_samples() -> None:
    """With what all records of the run share."""
    found = one([*MADE, *rounds(3)])
    assert (found.status, found.accuracy_top1, found.model_size_mb, found.build_s) == ("ok", 99.0, 30.0, 2.0)
    assert (found.model, found.environment_id, found.steps) == ("densenet121", "0badcafe", "eager")
    assert [each.round for each in found.timed_processes] == [0, 1, 2]
    assert found.all_samples_ms == (*(10.0,) * 5, *(11.0,) * 5, *(12.0,) * 5)
    assert (found.stable, found.interference) == (True, "")


def test_what_is_not_known_has_no_record() -> None:
    """Neither has a cell that nothing was built for, nor one whose only round was cut short."""
    assert records([], IDENTITY, [("baseline", 1)]) == []
    assert records([*MADE, measured(of=2)], IDENTITY, [("baseline", 1), ("x", 1)]) == []


@pytest.mark.parametrize("status", [Status.SKIPPED, Status.FAILED, Status.TIMED_OUT])
def test_a_build_that_fails_gives_every_batch_size_its_reason(status: Status) -> None:
    """Whatever an earlier artifact measured."""
    observations = [*MADE, *rounds(3), built(status=status, reason="boom")]
    found = records(observations, IDENTITY, [("baseline", 1), ("baseline", 8)])
    assert [(each.batch_size, each.status, each.reason) for each in found] == [
        (1, status, "boom"),
        (8, status, "boom"),
    ]
    assert not any(each.timed_processes for each in found)


def test_an_evaluation_that_fails_does_the_same() -> None:
    """An artifact that isn't seen to work is no row."""
    refused = evaluated().model_copy(update={"found": None, **BROKEN})
    assert one([built(), refused]).reason == "boom"


@pytest.mark.parametrize(("before", "status"), [(0, "failed"), (2, "failed"), (3, "ok"), (5, "ok")])
def test_a_failure_after_three_rounds_keeps_the_row(before: int, status: str) -> None:
    """With the note that there were no further rounds; before that the row has failed, and keeps its evaluation."""
    found = one([*MADE, *rounds(before), measured(number=9, **BROKEN)])
    assert (found.status, found.accuracy_top1) == (status, 99.0)
    if status == "ok":
        assert (found.reason, found.interference) == ("", "no further rounds: boom")
        assert found.stable
        assert len(found.rounds) == before
    else:
        assert (found.reason, found.timed_processes) == ("boom", ())


def test_a_failure_that_was_mended_is_not_told() -> None:
    """A resume tried again, and well, were it only for one round."""
    found = one([*MADE, measured(**BROKEN), measured(number=1)])
    assert (found.status, found.reason, found.interference) == ("ok", "", "")


def test_processes_that_were_repeated_are_told() -> None:
    """How many, and why; the row is no less stable for it."""
    repeated = measured(samples=samples((99.0,), interference=(BACKUP,)), discarded=True)
    found = one([*MADE, repeated, *rounds(3)])
    assert found.interference == "1 process repeated: others used half a CPU"
    assert found.stable
    assert 99.0 not in found.all_samples_ms
    both = one([*MADE, repeated, repeated, *rounds(2), measured(number=2, samples=samples((9.0,), interference=(HEAT,)))])
    assert both.interference == (
        "the clock fell by 20 % (in 1 of 3 processes); 2 processes repeated: others used half a CPU (in 2 of 2 "
        "processes)"
    )
    assert both.stable is False


def test_interference_is_that_of_the_worst_process() -> None:
    """The one with most to say is quoted for all."""
    quiet, one_mark, two = (samples((1.0,), interference=marks) for marks in ((), (BACKUP,), (SWAP, HEAT)))
    assert interference_text([quiet, quiet]) == interference_text([]) == ""
    assert interference_text([one_mark]) == "others used half a CPU"
    assert interference_text([quiet, one_mark, two]) == (
        "memory was swapped; the clock fell by 20 % (in 2 of 3 processes)"
    )


def test_memory_is_the_peak_and_times_are_medians() -> None:
    """Over the processes that know them: those that began with the batch size."""
    first = samples((1.0,), host_memory_peak_mb=500.0, load_s=1.0, first_inference_s=3.0)
    other = samples((1.0,), host_memory_peak_mb=700.0, load_s=2.0, first_inference_s=4.0, left_out=0.3)
    later = samples((1.0,), host_memory_peak_mb=None, load_s=9.0, first_inference_s=None, power_limited=True)
    found = one([*MADE, *(measured(number=n, samples=each) for n, each in enumerate((first, other, later)))])
    assert (found.host_memory_peak_mb, found.load_s, found.first_inference_s) == (700.0, 2.0, 3.5)
    assert found.cold_start_s == 5.0  # of 4 and 6
    assert (found.left_out, found.power_limited) == (pytest.approx(0.1), True)


def test_a_cold_start_that_was_measured_by_itself_stays() -> None:
    """That of a recipe with a compile cache: its measuring processes start warm."""
    found = one([built(), evaluated(cold_start_s=30.0), measured(samples=samples((1.0,)))])
    assert found.cold_start_s == 30.0


def test_energy_below_what_the_counter_can_tell_is_none() -> None:
    """A median of nothing or less than idling."""
    assert one([*MADE, measured(samples=samples((1.0,), energy_j_per_image=-0.1))]).energy_j_per_image is None
    assert one([*MADE, measured(samples=samples((1.0,), energy_j_per_image=0.5))]).energy_j_per_image == 0.5


def test_a_confirmation_is_apart_from_the_sweep() -> None:
    """Its rounds are no row's, and only what was confirmed has records."""
    observations = [*MADE, *rounds(3), measured(number=3, ms=20.0, stage="confirmation")]
    (found,) = confirmation_records(observations, IDENTITY)
    assert (found.stage, found.rounds, found.key) == ("confirmation", {3}, ("baseline", 1))
    assert one(observations).rounds == {0, 1, 2}
