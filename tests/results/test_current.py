"""Which observations count: whole rounds of the latest artifacts."""

from __future__ import annotations

from densebench.results.current import current
from densebench.results.observation import Observation, Status
from tests.journals import built, evaluated, measured

MADE: list[Observation] = [built(), evaluated(), built("x"), evaluated("x")]
BROKEN = {"status": Status.FAILED, "reason": "boom"}
BASE, X = ("baseline", 1), ("x", 1)


def round_of(number: int) -> list[Observation]:
    """A whole round: two processes of the baseline and one of `x`."""
    return [measured("baseline", number, of=3), measured("x", number, of=3), measured("baseline", number, of=3)]


def test_a_round_that_was_cut_short_counts_for_nothing() -> None:
    """Neither do the processes that it has; its number is never used again."""
    known = current([*MADE, *round_of(0), *round_of(1)[:2], *round_of(2)])
    assert known.rounds(X) == {0, 2}
    assert known.rounds(BASE) == {0, 2}
    assert len(known.measured["sweep", BASE]) == 4
    assert current([*MADE, *round_of(0), *round_of(1)[:1]]).next_round == 2


def test_processes_that_are_repeated_do_not_make_a_round_whole() -> None:
    """They are told of, and stand for nothing."""
    repeated = measured("x", 0, of=3, discarded=True)
    cut = current([*MADE, repeated, *round_of(0)[:2]])
    assert (cut.measured, cut.discarded) == ({}, {("sweep", X): [repeated]})
    assert current([*MADE, repeated, *round_of(0)]).rounds(X) == {0}


def test_a_process_that_fails_belongs_to_its_round() -> None:
    """The others of the round count, and the cell is known to have failed."""
    failed = measured("x", 0, of=3, **BROKEN)
    known = current([*MADE, failed, *round_of(0)[::2]])
    assert known.rounds(BASE) == {0}
    assert known.failed == {("sweep", X): failed}


def test_a_new_build_makes_what_was_seen_of_the_recipe_obsolete() -> None:
    """Its evaluation, its measurements and its failures; the baseline's stay."""
    known = current([*MADE, *round_of(0), measured("x", 1, batch_size=8, **BROKEN), built("x")])
    assert "x" not in known.evaluations
    assert (known.rounds(X), known.failed) == (set(), {})
    assert known.rounds(BASE) == {0}
    assert known.built_at == {"baseline": 0, "x": 8}


def test_a_new_build_of_the_baseline_makes_all_measurements_obsolete() -> None:
    """Nothing is held against an artifact that is gone; what was built of others is still theirs."""
    known = current([*MADE, *round_of(0), measured("x", 1, stage="confirmation"), built()])
    assert known.measured == {}
    assert set(known.evaluations) == {"x"}
    assert set(known.builds) == {"baseline", "x"}


def test_a_build_that_fails_leaves_what_was_measured() -> None:
    """There is no artifact that it could be mixed with."""
    failed = built("x", **BROKEN)
    known = current([*MADE, *round_of(0), failed])
    assert known.builds["x"] == failed
    assert known.rounds(X) == {0}
    assert known.built_at["x"] == 2


def test_what_is_forgiven_never_failed() -> None:
    """By its place: what a resume tries again, in every kind of task; what ended well is never asked about."""
    bad: list[Observation] = [
        built("y", **BROKEN),
        evaluated("z").model_copy(update=BROKEN),
        measured("x", 1, **BROKEN),
    ]
    observations = [*MADE, *bad]
    kept = current(observations)
    assert ("y" in kept.builds, "z" in kept.evaluations, ("sweep", X) in kept.failed) == (True, True, True)
    asked: list[int] = []

    def forgiven(place: int, _: Observation) -> bool:
        asked.append(place)
        return True

    known = current(observations, forgiven)
    assert (set(known.builds), set(known.evaluations)) == ({"baseline", "x"}, {"baseline", "x"})
    assert known.failed == {}
    assert asked == [4, 5, 6]
    assert known.next_round == 2


def test_a_later_round_that_goes_well_ends_a_failure() -> None:
    """Another process of the same round doesn't."""
    failed = measured("baseline", 0, of=3, **BROKEN)
    same = current([*MADE, failed, *round_of(0)[1:]])
    assert same.failed == {("sweep", BASE): failed}
    assert current([*MADE, failed, *round_of(0)[1:], *round_of(1)]).failed == {}


def test_confirmation_and_sweep_are_apart() -> None:
    """Rounds that confirm a choice are none of the sweep's."""
    known = current([*MADE, measured("x", 0), measured("x", 1, stage="confirmation")])
    assert known.rounds(X) == {0}
    assert known.rounds(X, "confirmation") == {1}
