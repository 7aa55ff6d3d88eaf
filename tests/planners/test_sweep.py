"""The plan of a sweep, carried out by a machine that answers at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densebench.planners.sweep import Request, next_task, rows, settled
from densebench.planners.tasks import Build, Evaluate, Round, Task
from densebench.results.current import current
from densebench.results.observation import BuildObservation, EvaluateObservation, Observation, Status
from densebench.spec import BASELINE
from tests.planners.imagined import answered, carried_out, failing, quick, request_of, rounds_of

TWO_SIZES: dict[str, Any] = {"batch_sizes": [1, 8], "focus_batch_sizes": [8], "rounds": 3, "focus_rounds": 6}


def processes_at(round_: Round, size: int) -> Counter[str]:
    """How many processes of each recipe a round has at a batch size."""
    return Counter(process.recipe for process in round_.processes if size in process.batch_sizes)


def test_every_recipe_is_built_and_evaluated_before_any_is_timed() -> None:
    """The baseline first: others are evaluated on its images."""
    _, tasks = carried_out(request_of())
    made = [task for task in tasks if not isinstance(task, Round)]
    assert [(type(task), task.recipe) for task in made] == [
        (kind, name) for name in (BASELINE, "channels_last", "jit") for kind in (Build, Evaluate)
    ]
    assert tasks[: len(made)] == made
    assert [task.images for task in made if isinstance(task, Evaluate)] == [None, 400, 400]


def test_a_round_has_each_recipe_once_and_the_baseline_twice() -> None:
    """A fixed number of rounds: more at focus batch sizes, where others are measured in pairs."""
    _, tasks = carried_out(request_of(**TWO_SIZES))
    rounds = rounds_of(tasks)
    assert len(rounds) == 6
    for number, one in enumerate(rounds):
        assert processes_at(one, 8) == {BASELINE: 2, "channels_last": 1, "jit": 1}
        assert (number < 3) == (processes_at(one, 1) == {BASELINE: 2, "channels_last": 1, "jit": 1})
        assert {size for process in one.processes for size in process.pairs} == {8}
    assert len({one.number for one in rounds}) == 6


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same order in each round; rounds differ, and another seed differs."""

    def orders(seed: int) -> list[list[str]]:
        found = rounds_of(carried_out(request_of(rounds=6, seed=seed))[1])
        return [[process.recipe for process in one.processes] for one in found]

    assert orders(1) == orders(1) != orders(2)
    assert len(set(map(tuple, orders(1)))) > 1


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=6, unique=True), st.integers(1, 6), st.integers(1, 6)
)
@settings(max_examples=40, deadline=None)
def test_every_batch_size_begins_a_process(sizes: list[int], rounds: int, focus_rounds: int) -> None:
    """Within the rounds that there are: memory is told of a process that has served nothing else before."""
    flags = {
        "batch_sizes": sizes,
        "focus_batch_sizes": sizes[:2],
        "rounds": rounds,
        "focus_rounds": focus_rounds,
    }
    request = request_of(("jit",), **flags)
    found, tasks = carried_out(request)
    firsts = {
        (process.recipe, process.batch_sizes[0]) for one in rounds_of(tasks) for process in one.processes
    }
    assert firsts == {*request.cells}
    assert all(
        list(p.batch_sizes) == sorted(p.batch_sizes) for one in rounds_of(tasks) for p in one.processes
    )
    for cell in request.cells:
        assert len(current(found).rounds(cell)) == request.rounds(cell)


def test_pairs_are_for_a_cpu() -> None:
    """On a GPU the reference process would share the card's memory with what is measured."""
    request = replace(request_of(focus_batch_sizes=[4]), device="cuda")
    found = rounds_of(carried_out(request)[1])
    assert not any(process.pairs for one in found for process in one.processes)


def test_traces_are_of_the_smallest_and_the_largest_batch_size() -> None:
    """Of the first process of each; of the second if that one gave none."""

    def answer(recipe: str, size: int, task: Round) -> dict[str, Any]:
        return {"ms": 10.0, "trace": "" if recipe == "jit" and not task.number else "a.json"}

    rounds = rounds_of(carried_out(request_of(batch_sizes=[1, 2, 4]), answer=answer)[1])
    taken = [
        (one.number, process.recipe, size)
        for one in rounds
        for process in one.processes
        for size in process.traced
    ]
    others = [each for each in taken if each[1] != BASELINE]
    assert sorted(others) == [
        (0, "channels_last", 1),
        (0, "channels_last", 4),
        (0, "jit", 1),
        (0, "jit", 4),
        (1, "jit", 1),
        (1, "jit", 4),
    ]


def test_a_failure_costs_its_cell() -> None:
    """The recipe's other batch size, and all other recipes, are measured in all their rounds."""
    request = request_of(**TWO_SIZES)
    found, tasks = carried_out(request, answer=failing("jit", 8))
    assert [processes_at(one, 8)["jit"] for one in rounds_of(tasks)] == [1, 0, 0, 0, 0, 0]
    by_cell = {row.key: row for row in rows(request, found)}
    assert (by_cell["jit", 8].status, by_cell["jit", 8].reason) == (Status.FAILED, "it broke")
    assert {row.status for key, row in by_cell.items() if key != ("jit", 8)} == {Status.OK}
    assert settled(request, found) == {*request.cells}


def test_a_baseline_that_fails_costs_the_comparison() -> None:
    """Its row is failed; the others are measured all the same, without a speed-up."""
    request = request_of()
    found, _ = carried_out(request, answer=failing(BASELINE, 4))
    by_recipe = {row.recipe: row for row in rows(request, found)}
    assert by_recipe[BASELINE].status is Status.FAILED
    assert (by_recipe["jit"].processes, by_recipe["jit"].speedup) == (3, None)


def test_a_baseline_that_fails_once_in_a_round_has_failed() -> None:
    """Whichever of its two processes it was."""
    left = [True]

    def answer(recipe: str, size: int, task: Round) -> dict[str, Any]:
        if recipe == BASELINE and left:
            left.clear()
            return {"status": Status.FAILED, "reason": "it broke"}
        return quick(recipe, size, task)

    request = request_of()
    found, _ = carried_out(request, answer=answer)
    assert {row.recipe: row.status for row in rows(request, found)}[BASELINE] is Status.FAILED


def test_a_crash_after_three_rounds_keeps_the_row() -> None:
    """The rounds before it count, and the row says that there are no further ones."""

    def answer(recipe: str, size: int, task: Round) -> dict[str, Any]:
        broken = recipe == "jit" and task.number == 4
        return {"status": Status.FAILED, "reason": "it broke"} if broken else quick(recipe, size, task)

    request = request_of(rounds=6)
    found, _ = carried_out(request, answer=answer)
    row = next(row for row in rows(request, found) if row.recipe == "jit")
    assert (row.status, row.processes) == (Status.OK, 4)
    assert "no further rounds: it broke" in row.interference


def test_what_could_not_be_built_has_rows_that_say_so() -> None:
    """One for each batch size, and nothing of it is timed."""
    request = request_of(**TWO_SIZES)
    found: list[Observation] = []
    while (task := next_task(request, found)) is not None:
        made = list(answered(task, request))
        if task == Build("jit", (1, 8)):
            failed = {"status": Status.SKIPPED, "reason": "no compiler here"}
            made = [made[0].model_copy(update=failed)]
        found += made
    told = {row.key: row.reason for row in rows(request, found) if row.status is Status.SKIPPED}
    assert told == {("jit", 1): "no compiler here", ("jit", 8): "no compiler here"}


def whole(observations: list[Observation]) -> dict[Any, int]:
    """How many whole rounds each cell has, by the stage that they were for."""
    known = current(observations)
    return {key: len({one.round for one in found}) for key, found in known.measured.items()}


def done(tasks: list[Task]) -> set[Task]:
    """The builds and evaluations among some tasks."""
    return {task for task in tasks if not isinstance(task, Round)}


def faster(recipe: str, size: int, task: Round) -> dict[str, Any]:
    """A recipe is twice as fast as the baseline, the other as fast."""
    return {"ms": (5.0 if recipe == "jit" else 10.0) * (1 + task.number % 3 / 1000)}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_resume_goes_on_from_any_prefix(data: st.DataObject) -> None:
    """It ends with the same whole rounds; no finished build, evaluation or whole round is done again."""
    request = request_of(**TWO_SIZES | {"confirmation_rounds": 6})
    found, _ = carried_out(request, answer=faster)
    prefix = found[: data.draw(st.integers(0, len(found)))]
    more, tasks = carried_out(request, prefix, faster)
    assert whole(more) == whole(found)
    finished = {
        (type(one), one.recipe) for one in prefix if isinstance(one, BuildObservation | EvaluateObservation)
    }
    pairs = {Build: BuildObservation, Evaluate: EvaluateObservation}
    assert not {(pairs[type(task)], task.recipe) for task in done(tasks)} & finished
    rounds_left = {key: whole(found)[key] - whole(prefix).get(key, 0) for key in whole(found)}
    again = Counter(
        (stage, cell)
        for stage, _, cell in {
            (one.stage, one.number, (process.recipe, size))
            for one in rounds_of(tasks)
            for process in one.processes
            for size in process.batch_sizes
        }
    )
    for (stage, cell), left in rounds_left.items():
        if cell[0] != BASELINE:
            assert again[stage, cell] == left


def test_a_complete_run_has_no_next_task() -> None:
    """However often it is resumed."""
    request = request_of(confirmation_rounds=6)
    found, _ = carried_out(request, answer=faster)
    assert carried_out(request, found, faster) == (found, [])


def resumed(request: Request, found: list[Observation], **flags: Any) -> list[Task]:
    """What a resume does that is asked for something else."""
    spec = type(request.spec).model_validate(request.spec.model_dump() | flags)
    return carried_out(replace(request, spec=spec), found)[1]


def test_more_rounds_are_added_to_those_that_there_are() -> None:
    """Nothing is built or measured again."""
    request = request_of(focus_batch_sizes=[4], focus_rounds=6)
    found, _ = carried_out(request)
    tasks = resumed(request, found, focus_rounds=8)
    assert len(tasks) == len(rounds_of(tasks)) == 2


def test_rows_of_two_builds_are_never_mixed() -> None:
    """A recipe that is built again for more batch sizes is measured again at all; the baseline serves any."""
    request = request_of(("jit",))
    found, _ = carried_out(request)
    tasks = resumed(request, found, batch_sizes=(4, 8))
    assert [task for task in tasks if isinstance(task, Build)] == [Build("jit", (4, 8))]
    assert all(processes_at(one, 4)["jit"] == processes_at(one, 8)["jit"] == 1 for one in rounds_of(tasks))
    assert len(rounds_of(tasks)) == 3


def test_a_lost_artifact_is_built_again_only_where_it_is_needed() -> None:
    """Rows that are complete stay; where rounds are missing, the recipe begins anew."""
    request = replace(request_of(), lost={"jit"})
    found, _ = carried_out(request)
    assert not resumed(request, found)
    spec = request.spec.model_copy(update={"rounds": 4})
    tasks = carried_out(replace(request, spec=spec), found)[1]
    assert [task.recipe for task in tasks if isinstance(task, Build)] == ["jit"]
    assert [processes_at(one, 4)["jit"] for one in rounds_of(tasks)] == [1] * 4


@pytest.mark.parametrize(
    ("facts", "flags", "again"),
    [
        ({"status": Status.FAILED, "reason": "it broke"}, {}, True),
        ({"status": Status.SKIPPED, "reason": "too slow", "limit_s": 120.0}, {}, False),
        ({"status": Status.SKIPPED, "reason": "too slow", "limit_s": 120.0}, {"cell_timeout": 240.0}, True),
        ({"status": Status.SKIPPED, "reason": "no VNNI here"}, {}, True),
    ],
)
def test_a_resume_tries_again_where_that_may_help(
    facts: dict[str, Any], flags: dict[str, Any], *, again: bool
) -> None:
    """What failed, and what was skipped for a limit that is another one now."""
    request = request_of()
    found, _ = carried_out(request, answer=failing("jit", 4, facts.pop("status"), **facts))
    assert bool(resumed(request, found, **flags)) == again


def test_what_is_impossible_here_is_not_tried_again() -> None:
    """The reason is the same as before."""
    request = request_of()
    found, _ = carried_out(request, answer=failing("jit", 4, Status.SKIPPED, reason="no compiler"))
    assert not resumed(replace(request, impossible={"jit": "no compiler"}), found)


def confirming(tasks: list[Task]) -> list[Round]:
    """The rounds that a choice is confirmed by."""
    return [one for one in rounds_of(tasks) if one.stage == "confirmation"]


def test_the_choice_is_confirmed_in_fresh_rounds() -> None:
    """Winner and baseline are measured six times more; their numbers are new, and the rows stay as they are."""
    request = request_of(confirmation_rounds=6)
    found, tasks = carried_out(request, answer=faster)
    fresh = confirming(tasks)
    assert [processes_at(one, 4) for one in fresh] == [{BASELINE: 2, "jit": 1}] * 6
    sweep = {one.number for one in rounds_of(tasks)} - {one.number for one in fresh}
    assert not sweep & {one.number for one in fresh}
    assert {row.processes for row in rows(request, found) if row.recipe == "jit"} == {3}


def test_nothing_is_confirmed_where_nothing_is_faster() -> None:
    """A sweep whose answer is the baseline ends with its rows."""
    assert not confirming(carried_out(request_of(confirmation_rounds=6))[1])


def test_a_contender_that_breaks_is_answered_for() -> None:
    """Its failure ends the confirmation, now and in a resume of the same run."""

    def answer(recipe: str, size: int, task: Round) -> dict[str, Any]:
        broken = recipe == "jit" and task.stage == "confirmation"
        return {"status": Status.FAILED, "reason": "it broke"} if broken else faster(recipe, size, task)

    request = request_of(confirmation_rounds=6)
    found, tasks = carried_out(request, answer=answer)
    assert len(confirming(tasks)) == 1
    assert {row.status for row in rows(request, found)} == {Status.OK}


def test_a_resume_with_another_objective_confirms_its_choice() -> None:
    """Of all cells of the run, though it was asked for some of them."""
    request = request_of(confirmation_rounds=6)
    found, _ = carried_out(request, answer=faster)
    tasks = resumed(replace(request, planned=request.cells), found, objective="size")
    assert not done(tasks)
