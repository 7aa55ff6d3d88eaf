"""Turns of two processes: in which order, how many, and what becomes of them if one stops answering."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest

from densebench.beside import Told
from densebench.measure.latency import Samples
from densebench.turns import MOST_TURNS, TURNS, alternate, short


class Two:
    """Both processes: own blocks take `own_ms`, the baseline's `theirs_ms`, until it has answered often enough."""

    def __init__(self, own_ms: Iterator[float], theirs_ms: Iterator[float], answers: int = 100) -> None:
        self.own_ms, self.theirs_ms, self.answers = own_ms, theirs_ms, answers
        self.order, self.warm_ms = "", (10.0, 10.0)

    def own(self) -> Samples:
        self.order += "A"
        return Samples((next(self.own_ms),), 1, warm_ms=self.warm_ms[0])

    def theirs(self) -> Told | None:
        if self.order.count("B") == self.answers:
            return None
        self.order += "B"
        return Told(samples_ms=(next(self.theirs_ms),), warm_ms=self.warm_ms[1])


def steady(ms: float, spread: float = 0.0) -> Iterator[float]:
    """The same again and again, but for a noise of this share."""
    noise = random.Random(1)
    while True:
        yield ms * math.exp(noise.gauss(0, spread))


@pytest.mark.parametrize(
    ("ratio", "spread", "pairs"),
    [
        (1.0, 0.0, 3),  # quiet
        (1.0, 0.2, MOST_TURNS // 2),  # vague to the end
        (8.0, 0.2, 3),  # the same noise is no matter for so large an effect
    ],
)
def test_turns_go_on_while_the_ratio_is_vague(ratio: float, spread: float, pairs: int) -> None:
    """In an order in which what changes steadily cancels."""
    two = Two(steady(10, spread), steady(10 * ratio))
    two.warm_ms = (10.0, 10.0 * ratio)
    ours, others, _ = alternate(two.own, two.theirs, 0.02, 0.03 * (1 + ratio), 100)
    assert two.order == "BAAB" * pairs
    assert len(ours) == len(others) == 2 * pairs


def test_the_turns_themselves_do_not_say_how_large_the_effect_is() -> None:
    """The warm-ups do: else those turns would end early that make it large by chance, and favour it."""
    for warm_ms, turns in ((10.0, MOST_TURNS), (0.01, 10)):
        two = Two(steady(1, 0.2), steady(10))
        two.warm_ms = (warm_ms, 10.0)
        assert len(alternate(two.own, two.theirs, 0.02, 0.05, 100)[0]) == turns


def test_of_long_calls_four_turns_are_enough() -> None:
    """However vague: processes of what fills the seconds so soon differ by more than further turns would tell.

    By the warm-ups: turns that happened to be slow would end early, others not, which favours the quicker model.
    """
    for warm_ms, turns in (((200.0, 100.0), TURNS), ((100.0, 100.0), MOST_TURNS)):
        two = Two(steady(200, 0.2), steady(100))
        two.warm_ms = warm_ms
        assert len(alternate(two.own, two.theirs, 0.0, 0.6, 100)[0]) == turns


def test_a_turn_that_does_not_count_says_nothing_of_how_long_they_are() -> None:
    """Its blocks may have more calls than were planned."""
    first, noise = iter([True]), steady(100, 0.2)

    def own() -> Samples:
        if next(first, False):
            return Samples((100.0, 100.0), 2, "a backup", warm_ms=100.0)
        return Samples((next(noise),), 1, warm_ms=100.0)

    two = Two(steady(100), steady(100))
    two.warm_ms = (100.0, 100.0)
    assert len(alternate(own, two.theirs, 0.0, 0.6, 100)[0]) == MOST_TURNS - 1


@pytest.mark.parametrize(
    ("own_ms", "theirs_ms", "turns"), [(10, 10, 12), (10, 14, 10), (10, 30, 6), (10, 900, 4)]
)
def test_turns_fill_the_seconds(own_ms: float, theirs_ms: float, turns: int) -> None:
    """Of both together, four at least: a slow baseline isn't timed for each of a quick model's many turns."""
    two = Two(steady(own_ms), steady(theirs_ms))
    assert len(alternate(two.own, two.theirs, 0.02, 0.12, 100)[0]) == turns


@pytest.mark.parametrize(("ms", "turns"), [(10.0, 12), (500.0, 4), (0.1, MOST_TURNS)])
def test_alone_they_fill_the_seconds_too(ms: float, turns: int) -> None:
    """Four at least, of a slow model no more; those that never do end as well."""
    ours: list[Samples] = []
    while short(ours, 0.12):
        ours.append(Samples((ms,), 1))
    assert len(ours) == turns


def test_a_machine_that_gets_slower_steadily_changes_nothing() -> None:
    """Each block takes 3 % longer than the one before: the ratio comes out as it is."""
    times = iter([10.0 * 1.03**n for n in range(100)])
    two = Two(times, times)
    ours, others, _ = alternate(two.own, two.theirs, 1.0, 0.0, 100)
    logs = [math.log(b.samples_ms[0] / a.kept_ms[0]) for a, b in zip(ours, others, strict=True)]
    assert sum(logs) == pytest.approx(0)


def test_a_disturbed_turn_is_left_out() -> None:
    """Of either process, while four others are left; else all count, and the row says what disturbed them."""

    def disturbed(own_at: set[int], their_at: set[int]) -> tuple[list[Samples], list[Told], str]:
        mine, others = iter(range(1000)), iter(range(1000))

        def own() -> Samples:
            hit = next(mine) in own_at
            return Samples((20.0 if hit else 10.0,), 1, "a backup" * hit)

        def theirs() -> Told:
            hit = next(others) in their_at
            return Told(samples_ms=(20.0 if hit else 10.0,), disturbance="an update" * hit)

        return alternate(own, theirs, 0.02, 0.0, 100)

    for one_of_them in (({1}, set()), (set(), {2})):
        ours, others, why = disturbed(*one_of_them)
        assert [one.kept_ms for one in ours] == [other.samples_ms for other in others] == [(10.0,)] * 5
        assert why == ""
    assert disturbed({1}, {2, 3})[2] == "3 of 8 turns left out: a backup"
    assert disturbed(set(), {0, 1})[2] == "2 of 6 turns left out: an update"
    ours, others, why = disturbed(set(range(3, 100)), set())
    assert len(ours) == len(others) == MOST_TURNS
    assert (ours[-1].disturbance, why) == ("a backup", "")


def test_turns_end_with_their_time() -> None:
    """Whatever is not known yet."""
    two = Two(steady(10, 0.2), steady(10, 0.2))
    assert len(alternate(two.own, two.theirs, 0.0, 1.0, 0.0)[0]) == TURNS


@pytest.mark.parametrize("answers", [0, 1, 2, 3, 5])
def test_without_an_answer_the_baselines_blocks_are_dropped(answers: int) -> None:
    """They would stand for other moments than its own, which stay."""
    two = Two(steady(10, 0.2), steady(10), answers)
    ours, others, _ = alternate(two.own, two.theirs, 0.0, 1.0, 100)
    assert others == []
    assert len(ours) == two.order.count("A")
