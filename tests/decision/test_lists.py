"""The lists of faster and slower recipes: one entry a recipe, and right for all of them at once."""

from __future__ import annotations

import random

from densebench.decision.lists import listed
from densebench.results.derive import derive
from tests.decision.sweeps import rows_of
from tests.factory import record


def test_a_recipe_is_listed_once_at_its_best_and_its_worst_batch_size() -> None:
    """Two batch sizes of one recipe are one entry."""
    speeds = {"baseline": {1: 20.0, 8: 30.0}, "quick": {1: 40.0, 8: 90.0}, "slow": {1: 10.0, 8: 20.0}}
    (one,) = listed(rows_of(speeds), "faster")
    assert (one.recipe, one.best.batch_size, one.worst.batch_size) == ("quick", 8, 1)
    (other,) = listed(rows_of(speeds), "slower")
    assert (other.recipe, other.worst.batch_size) == ("slow", 1)


def test_a_recipe_may_be_faster_here_and_slower_there() -> None:
    """It is in both lists, each time with both of its batch sizes."""
    rows = rows_of({"baseline": {1: 20.0, 8: 30.0}, "mixed": {1: 40.0, 8: 15.0}})
    assert [one.recipe for one in listed(rows, "faster")] == ["mixed"]
    assert [one.recipe for one in listed(rows, "slower")] == ["mixed"]


def test_twenty_equal_recipes_rarely_make_a_list() -> None:
    """Rows of equal recipes are called faster or slower by chance; the lists hold none of them in 19 of 20 sweeps."""
    draw = random.Random(7)
    with_wrong_rows = with_wrong_lists = 0
    for _ in range(60):
        records = [
            record(
                recipe=name,
                batch_size=8,
                samples_ms=tuple((draw.lognormvariate(3.0, 0.05),) for _ in range(3)),
                rounds=(0, 1, 2),
            )
            for name in ("baseline", *(f"r{number}" for number in range(20)))
        ]
        rows = derive(records)
        with_wrong_rows += any(row.verdict in ("faster", "slower") for row in rows)
        with_wrong_lists += bool(listed(rows, "faster") or listed(rows, "slower"))
    assert with_wrong_lists <= 8
    assert with_wrong_rows > 4 * with_wrong_lists
