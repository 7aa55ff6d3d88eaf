"""The decision: what is recommended follows from the sweep's choice, the fresh rounds and the limits."""

from __future__ import annotations

from typing import Any

import pytest

from densebench.decision import Confirmation, decide
from densebench.decision.contest import contend
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.schema import Effect
from densebench.spec import Limits
from tests.decision.sweeps import decided, fresh, labels, reason_of, rows_of
from tests.factory import record

BASE = {"baseline": {1: 20.0, 8: 30.0}}
QUICK = BASE | {"quick": {1: 40.0, 8: 90.0}, "good": {1: 50.0, 8: 60.0}}


def test_the_best_recipe_is_recommended_by_fresh_rounds_alone() -> None:
    """The ratio that is quoted is the confirmation's, however high the sweep's was."""
    again = {"baseline": {8: 30.0}, "quick": {8: 75.0}, "good": {8: 60.0}}
    found = decided(QUICK, again)
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.key == ("quick", 8)
    assert found.artifact == "models/quick"
    assert found.against_best is not None
    assert found.against_best.value == pytest.approx(2.5, rel=0.01)
    assert found.margin is not None
    assert found.margin.value == pytest.approx(1.25, rel=0.01)
    assert found.in_sweep is not None
    assert found.in_sweep.value == pytest.approx(3.0, rel=0.01)


def test_the_headline_compares_best_with_best() -> None:
    """A baseline that collapses at the winner's batch size is compared at its own best one."""
    speeds = {"baseline": {8: 35.0, 16: 22.0}, "quick": {8: 150.0, 16: 240.0}}
    found = decided(speeds)
    assert found.winner is not None
    assert found.winner.batch_size == 16
    assert found.baseline is not None
    assert found.baseline.batch_size == 8
    assert found.against_best is not None
    assert found.against_best.value == pytest.approx(240 / 35, rel=0.01)
    assert found.at_same_size is not None
    assert found.at_same_size.value == pytest.approx(240 / 22, rel=0.01)


def test_what_is_measured_again_are_the_contenders_and_the_baseline_at_both_batch_sizes() -> None:
    """Winner and runner-up each at its own batch size; the baseline at its best one and at the winner's."""
    speeds = {"baseline": {8: 35.0, 16: 22.0}, "quick": {8: 150.0, 16: 240.0}, "next": {8: 90.0, 16: 80.0}}
    contest = contend(rows_of(speeds), "throughput", Limits())
    assert set(contest.cells()) == {("baseline", 8), ("baseline", 16), ("quick", 16), ("next", 8)}
    nobody = contend(rows_of({"baseline": {8: 35.0}, "slow": {8: 20.0}}), "throughput", Limits())
    assert nobody.cells() == []


def test_a_winner_that_fresh_rounds_refuse_gives_way_to_the_runner_up() -> None:
    """The best of the sweep was best by chance; the next one is confirmed, and the first one says why it lost."""
    found = decided(QUICK, {"baseline": {8: 30.0}, "quick": {8: 30.1}, "good": {8: 60.0}})
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.recipe == "good"
    assert reason_of(found, "quick") == "not_confirmed"


def test_nothing_is_recommended_where_fresh_rounds_confirm_nobody() -> None:
    """Neither contender is faster when it is measured again: the answer says so, and names no artifact."""
    found = decided(QUICK, {"baseline": {8: 30.0}, "quick": {8: 30.1}, "good": {8: 29.9}})
    assert found.outcome == "not_confirmed"
    assert found.artifact == ""


@pytest.mark.parametrize("again", [{}, {"baseline": {8: 30.0}, "good": {8: 60.0}}])
def test_without_fresh_rounds_of_the_winner_nothing_is_confirmed(again: dict[str, Any]) -> None:
    """An interrupted run, or a report by another objective, has no rounds of the new winner."""
    assert decided(QUICK, again).outcome == "unconfirmed"


def test_rounds_that_were_not_shared_are_no_comparison() -> None:
    """A winner measured in other rounds than the baseline's is not confirmed by them."""
    mixed = [*fresh({"baseline": {8: 30.0}}), *fresh({"quick": {8: 90.0}}, rounds=tuple(range(200, 206)))]
    assert decide(rows_of(QUICK), Confirmation.of(mixed)).outcome == "unconfirmed"


def test_a_launch_bound_gpu_has_an_answer_for_each_batch_size() -> None:
    """2.9x at batch 1 and nothing at batch 32: the baseline is the answer for throughput, and not for batch 1."""
    speeds = {"baseline": {1: 100.0, 32: 2000.0}, "graphs": {1: 290.0, 32: 2005.0}}
    found = decided(speeds)
    assert found.outcome == "at_batch_size"
    assert found.winner is not None
    assert found.winner.key == ("graphs", 1)
    assert found.at_same_size is not None
    assert found.at_same_size.value == pytest.approx(2.9, rel=0.01)
    assert [choice.key for choice in found.by_batch_size] == [("graphs", 1)]
    assert found.artifact == "models/baseline"
    served = decided(speeds, serving_batch_size=1)
    assert served.outcome == "deploy"
    assert served.artifact == "models/graphs"


def test_equal_recipes_keep_the_baseline() -> None:
    """Six recipes without any effect on speed: nothing is faster at any batch size."""
    found = decided(BASE | {f"r{number}": dict(BASE["baseline"]) for number in range(6)})
    assert found.outcome == "keep_baseline"
    assert found.by_batch_size == ()
    assert found.artifact == "models/baseline"
    assert {one.kind for one in found.reasons} == {"same"}


def test_whoever_serves_single_images_is_not_told_to_batch() -> None:
    """With a serving batch size, rows at other batch sizes count for nothing."""
    found = decided(QUICK, serving_batch_size=1)
    assert found.winner is not None
    assert found.winner.key == ("good", 1)
    assert found.baseline is not None
    assert found.baseline.batch_size == 1


def test_latency_is_decided_at_the_smallest_batch_size() -> None:
    """The lowest latency of one batch wins, whatever a larger batch brings."""
    found = decided(QUICK, objective="latency")
    assert found.winner is not None
    assert found.winner.key == ("good", 1)


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        ({"max_latency_ms": 80.0}, "latency"),
        ({"max_size_mb": 15.0}, "size"),
        ({"max_memory_mb": 350.0}, "memory"),
    ],
)
def test_a_limit_shuts_out_the_fastest(limit: dict[str, float], kind: str) -> None:
    """The fastest recipe breaks a limit, and the next one is recommended; the reason has figure and limit."""
    costs = {
        "baseline": {"model_size_mb": 12.0, "deploy_memory_mb": 300.0},
        "quick": {"model_size_mb": 20.0, "deploy_memory_mb": 400.0},
        "good": {"model_size_mb": 10.0, "deploy_memory_mb": 200.0},
    }
    speeds = {"baseline": {1: 20.0}, "good": {1: 50.0}, "quick": {1: 60.0}}
    if kind == "latency":
        speeds = {"baseline": {1: 20.0, 8: 21.0}, "good": {1: 50.0}, "quick": {8: 90.0}}
    found = decided(speeds, {"baseline": {1: 20.0}, "good": {1: 50.0}}, facts=costs, **limit)
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.recipe == "good"
    reason = next(one for one in found.reasons if one.recipe == "quick")
    assert reason.kind == kind
    assert reason.limit == next(iter(limit.values()))
    assert reason.value is not None
    assert reason.value > next(iter(limit.values()))


def test_a_limit_that_nothing_keeps_shows_the_near_misses() -> None:
    """The baseline breaks the limit and so does every recipe: each reason says by how much."""
    found = decided(QUICK, max_latency_ms=5.0)
    assert found.outcome == "no_limit_met"
    assert {one.recipe for one in found.reasons} == {"baseline", "quick", "good"}
    assert all(one.value and one.value > 5 for one in found.reasons)


def test_where_the_baseline_breaks_a_limit_a_recipe_need_not_be_faster() -> None:
    """The smallest that keeps the limit is the answer, and its cost in speed is part of it."""
    sizes = {"baseline": {"model_size_mb": 30.0}, "small": {"model_size_mb": 8.0}}
    found = decided(
        {"baseline": {8: 30.0}, "small": {8: 24.0}}, facts=sizes, objective="size", max_size_mb=10.0
    )
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.recipe == "small"
    assert found.at_same_size is not None
    assert found.at_same_size.value == pytest.approx(0.8, rel=0.01)


def test_for_size_the_recommended_recipe_is_not_slower() -> None:
    """The smallest file is slower than the baseline; a larger one that is not is recommended."""
    sizes = {
        "baseline": {"model_size_mb": 30.0},
        "tiny": {"model_size_mb": 5.0},
        "small": {"model_size_mb": 8.0},
    }
    speeds = {"baseline": {8: 30.0}, "tiny": {8: 15.0}, "small": {8: 30.2}}
    found = decided(speeds, facts=sizes, objective="size")
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.recipe == "small"
    assert reason_of(found, "tiny") == "slower"


def test_memory_is_that_of_a_program_of_its_own_on_a_cpu() -> None:
    """The objective looks at `deploy_memory_mb`; the baseline is kept where nothing takes less."""
    costs = {"baseline": {"deploy_memory_mb": 500.0}, "lean": {"deploy_memory_mb": 200.0}}
    speeds = {"baseline": {8: 30.0}, "lean": {8: 40.0}}
    found = decided(speeds, facts=costs, objective="memory")
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.figure == 200.0
    fat = {"baseline": {"deploy_memory_mb": 500.0}, "lean": {"deploy_memory_mb": 600.0}}
    assert decided(speeds, facts=fat, objective="memory").outcome == "keep_baseline"


def test_memory_of_one_batch_is_not_that_of_several_at_once() -> None:
    """A server of several processes or requests takes more than the program that was looked at."""
    costs = {
        "baseline": {"deploy_memory_mb": 500.0},
        "lean": {"deploy_memory_mb": 200.0},
        "server": {"deploy_memory_mb": 150.0, "streams": 2},
    }
    speeds = {"baseline": {8: 30.0}, "lean": {8: 40.0}, "server": {8: 90.0}}
    found = decided(speeds, facts=costs, objective="memory")
    assert found.winner is not None
    assert found.winner.recipe == "lean"
    assert reason_of(decided(speeds, facts=costs, max_memory_mb=550.0), "server") == "memory"


AT_ONE = {name: {"deploy_memory_mb": 200.0, "deploy_batch_size": 1} for name in ("baseline", "quick")}
ONE_AND_MANY = {"baseline": {1: 20.0, 32: 30.0}, "quick": {1: 40.0, 32: 90.0}}


def test_memory_of_another_batch_size_is_no_evidence() -> None:
    """A program that ran at batch 1 tells nothing of batch 32, so the choice is limited to batch 1 and says so."""
    found = decided(ONE_AND_MANY, facts=AT_ONE, max_memory_mb=500.0)
    assert found.winner is not None
    assert found.winner.key == ("quick", 1)
    assert found.narrowed_to == (1,)
    served = decided(ONE_AND_MANY, facts=AT_ONE, max_memory_mb=500.0, serving_batch_size=1)
    assert served.narrowed_to == decided(ONE_AND_MANY, facts=AT_ONE).narrowed_to == ()
    by_memory = decided(ONE_AND_MANY, facts=AT_ONE, objective="memory", serving_batch_size=32)
    assert by_memory.outcome == "no_figure"


def test_a_recipe_measured_at_another_batch_size_than_the_baseline_says_why_it_is_out() -> None:
    """A resume may name another batch size to serve: what its program took there is not held against a row here."""
    costs = AT_ONE | {"quick": {"deploy_memory_mb": 200.0, "deploy_batch_size": 32}}
    found = decided(ONE_AND_MANY, facts=costs, max_memory_mb=500.0)
    (reason,) = found.reasons
    assert (reason.recipe, reason.kind, reason.batch_size, reason.value) == ("quick", "memory", 1, None)


def test_a_baseline_of_unknown_memory_does_not_let_slower_recipes_in() -> None:
    """A limit that the baseline breaks is worth a slower recipe; a figure that is missing is no broken limit."""
    costs = {"lean": {"deploy_memory_mb": 200.0}}
    slower = {"baseline": {8: 30.0}, "lean": {8: 24.0}}
    assert decided(slower, facts=costs, max_memory_mb=500.0).outcome == "no_limit_met"
    fat = costs | {"baseline": {"deploy_memory_mb": 900.0}}
    assert decided(slower, facts=fat, max_memory_mb=500.0).artifact == "models/lean"
    faster = {"baseline": {8: 30.0}, "lean": {8: 60.0}}
    assert decided(faster, facts=costs, max_memory_mb=500.0).artifact == "models/lean"
    luck = decided(faster, {"baseline": {8: 30.0}, "lean": {8: 30.1}}, facts=costs, max_memory_mb=500.0)
    assert luck.outcome == "not_confirmed"


def test_a_few_megabytes_are_no_reason() -> None:
    """The memory of one process each: 1 % less is not less."""
    costs = {"baseline": {"deploy_memory_mb": 500.0}, "lean": {"deploy_memory_mb": 495.0}}
    speeds = {"baseline": {8: 30.0}, "lean": {8: 40.0}}
    assert decided(speeds, facts=costs, objective="memory").outcome == "keep_baseline"


def test_a_runner_up_that_fresh_rounds_show_to_be_faster_is_deployed() -> None:
    """Both are confirmed, and the sweep's order was chance."""
    found = decided(QUICK, {"baseline": {8: 30.0}, "quick": {8: 50.0}, "good": {8: 60.0}})
    assert found.outcome == "deploy"
    assert found.winner is not None
    assert found.winner.recipe == "good"


def test_too_few_images_are_an_answer_of_their_own() -> None:
    """200 images, none of them changed, 8x the speed: how many images would be enough is part of the answer."""
    few = {"correct_top1": labels(150, 200)}
    found = decided({"baseline": {8: 30.0}, "quick": {8: 240.0}}, facts={"baseline": few, "quick": few})
    assert found.outcome == "too_few_images"
    assert found.winner is not None
    assert found.winner.recipe == "quick"
    assert found.seen_images == 200
    assert found.images is not None
    assert 250 < found.images < 300
    enough = {"correct_top1": labels(225, found.images)}
    again = decided({"baseline": {8: 30.0}, "quick": {8: 240.0}}, facts={"baseline": enough, "quick": enough})
    assert again.outcome == "deploy"


def test_a_recipe_that_loses_too_much_is_refused_and_the_next_one_taken() -> None:
    """What is lost is known from the images that both models saw."""
    lossy = {"correct_top1": labels(700), "accuracy_top1": 70.0}
    found = decided(QUICK, facts={"quick": lossy})
    assert found.winner is not None
    assert found.winner.recipe == "good"
    assert reason_of(found, "quick") == "accuracy_lost"


@pytest.mark.parametrize("blind", ["baseline", "quick"])
def test_no_recommendation_without_both_accuracies(blind: str) -> None:
    """A baseline whose accuracy is not known shuts nobody in: nothing is recommended on it."""
    unknown = {"accuracy_top1": None, "correct_top1": ""}
    found = decided({"baseline": {8: 30.0}, "quick": {8: 90.0}}, facts={blind: unknown})
    assert found.outcome == "accuracy_not_judged"
    assert found.artifact == ""


def test_without_labels_the_fastest_is_named_and_not_recommended() -> None:
    """No accuracy of anybody is known."""
    unknown = {"accuracy_top1": None, "correct_top1": ""}
    found = decided(QUICK, facts=dict.fromkeys(QUICK, unknown))
    assert found.outcome == "accuracy_not_judged"
    assert found.winner is not None
    assert found.winner.recipe == "quick"


def test_what_had_no_effect_is_out_of_the_running() -> None:
    """A recipe that did not do here what it is named for is never recommended, however fast it looks."""
    found = decided(QUICK, facts={"quick": {"effect": Effect(none_because="nothing runs in bfloat16")}})
    assert found.winner is not None
    assert found.winner.recipe == "good"
    assert reason_of(found, "quick") == "no_effect"


def test_rows_of_one_process_can_not_be_told_apart() -> None:
    """Without replicates there is no interval, so there is no recommendation."""
    rows = derive(
        [record(recipe=name, samples_ms=((ms,) * 60,)) for name, ms in (("baseline", 50.0), ("x", 20.0))]
    )
    assert decide(rows).outcome == "no_intervals"


def test_too_little_was_timed() -> None:
    """Only the baseline, only recipes, or nothing."""
    assert decide(rows_of({"baseline": {8: 30.0}})).outcome == "nothing_to_compare"
    assert decide(rows_of({"x": {8: 30.0}})).outcome == "no_baseline"
    skipped = derive([record(recipe="x", status=Status.SKIPPED, reason="no card here")])
    assert decide(skipped).outcome == "nothing_timed"
    assert decide([]).outcome == "nothing_timed"


def test_every_other_recipe_has_one_reason() -> None:
    """Whatever the answer, nobody is left out without a reason."""
    speeds = QUICK | {"slow": {1: 10.0, 8: 12.0}, "equal": {1: 20.0, 8: 30.0}}
    found = decided(speeds)
    assert sorted(one.recipe for one in found.reasons) == ["equal", "good", "slow"]
    assert {one.recipe: one.kind for one in found.reasons} == {
        "good": "not_better",
        "slow": "slower",
        "equal": "same",
    }
