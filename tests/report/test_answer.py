"""The answer's sentences on runs of many kinds: each says what its own evidence supports, and no more."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from densebench.cli import main
from densebench.cli.flags import OF_A_RUN, given
from densebench.report.analysis import analyse
from densebench.report.answer import answer, answer_tags
from densebench.report.facts import sweep_of
from densebench.report.recommendation import answer_in_words
from densebench.report.refusals import refused
from densebench.report.sweep import Sweep
from densebench.results.columns import COLUMNS
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.schema import Effect
from densebench.spec import Limits, Objective, RunSpec
from scripts.update_schemas import FOLDER, texts
from tests.decision.sweeps import Speeds, fresh, labels, rows_of
from tests.factory import header, record

BASE = {"baseline": {1: 20.0, 8: 30.0}}
QUICK = BASE | {"quick": {1: 40.0, 8: 90.0}, "good": {1: 50.0, 8: 60.0}}
BLIND = {"accuracy_top1": None, "correct_top1": "", "top1_agreement": None}


def seen(
    speeds: Speeds,
    again: Speeds | None = None,
    facts: dict[str, dict[str, Any]] | None = None,
    objective: Objective = "throughput",
    **limits: Any,
) -> Sweep:
    """A sweep with its confirmation, as the report sees it."""
    confirmation = tuple(fresh(speeds if again is None else again))
    return Sweep(
        tuple(rows_of(speeds, facts)), Limits(**limits), objective, confirmation, "densebench run --resume"
    )


def test_a_recommendation_quotes_fresh_rounds_best_against_best() -> None:
    """Ratio, interval, both speeds, rounds and accuracy; the ratio at the same batch size comes after."""
    speeds = {"baseline": {8: 35.0, 16: 22.0}, "quick": {8: 150.0, 16: 240.0}, "next": {8: 90.0, 16: 120.0}}
    told = answer_in_words(seen(speeds))
    assert told.startswith("Deploy quick at batch 16: 6.86x (")
    assert "the images per second of the baseline at its best batch size, 8 (240 against 35.0)" in told
    assert "measured again in 6 fresh rounds" in told
    assert "its top-1 stays (a loss of at most 0.27 with 95 % confidence), within the limit" in told
    assert "Next is next at batch 16: quick gives 2.00x its images per second" in told
    assert "Against the baseline at batch 16 too, it gives 10.91x" in told


def test_a_launch_bound_gpu_is_not_told_to_keep_the_baseline_everywhere() -> None:
    """2.9x at batch 1 and 1.0x at batch 32: the answer names the batch size."""
    speeds = {"baseline": {1: 100.0, 32: 2000.0}, "graphs": {1: 290.0, 32: 2005.0}}
    told = answer_in_words(seen(speeds))
    assert told.startswith("At batch 1 deploy graphs: 2.90x")
    assert "For the most images per second deploy the baseline at batch 32 (2000 images/s)" in told
    assert "at batch 32 no recipe within the limits is seen to be faster than the baseline" in told
    assert "Keep the baseline" not in told


def test_too_few_images_are_said_to_be_the_reason() -> None:
    """Eight times the speed with none of 200 images changed: no recommendation yet, and how many images it takes."""
    few = {"correct_top1": labels(150, 200)}
    speeds = {"baseline": {8: 30.0}, "quick": {8: 240.0}}
    told = answer_in_words(seen(speeds, facts={"baseline": few, "quick": few}))
    assert told.startswith("No recommendation yet: quick at batch 8 is fastest, at 8.00x")
    assert "200 images can't show that it keeps its accuracy: none became right or wrong" in told
    assert "up to 1.33 percentage points of top-1" in told
    assert "About 268 images would be enough" in told
    assert "no recipe" not in told


def test_without_labels_the_fastest_is_named_with_its_unchanged_guesses() -> None:
    """The answer says that accuracy is not judged, and is no recommendation."""
    facts = {
        name: BLIND | {"top1_agreement": share}
        for name, share in (("baseline", 1.0), ("quick", 0.995), ("good", 1.0))
    }
    told = answer_in_words(seen(QUICK, facts=facts))
    assert told.startswith(
        "No recommendation, since no accuracy was measured: the fastest recipe is quick at batch 8"
    )
    assert "Its first guess is the baseline's on 99.5 % of the images" in told
    assert "Deploy" not in told


@pytest.mark.parametrize("noise", [True, False])
def test_agreement_on_other_images_than_labelled_ones_says_on_which(*, noise: bool) -> None:
    """How many there are, and that they are random: noise tells less of a model than pictures."""
    on = {"agreement_images": 64, "agreement_on_noise": noise}
    facts = {name: BLIND | {"top1_agreement": 0.75, "output_sqnr_db": 20.0} | on for name in QUICK}
    told = answer_in_words(seen(QUICK, facts=facts))
    kind = "random" if noise else "unlabelled"
    assert f"Its first guess is the baseline's on 75 % of 64 {kind} images." in told
    assert ("says less than on real ones" in told) == noise
    said = " ".join(one.sentence for one in analyse(seen(QUICK, facts=facts)))
    assert f"share of 64 {kind} images with the same first guess as the baseline: quick 75.00 %" in said
    assert f"The logits on 64 {kind} images are furthest" in said


def test_a_baseline_without_accuracy_recommends_nobody() -> None:
    """A recipe of 31 % top-1 is not recommended only because the baseline's accuracy is not known."""
    sweep = seen(
        QUICK, facts={"baseline": BLIND, "quick": {"accuracy_top1": 31.0, "correct_top1": labels(310)}}
    )
    told = answer_in_words(sweep)
    assert told.startswith("No recommendation, since the baseline's accuracy is not known")
    assert sweep.chosen is None


def test_equal_recipes_keep_the_baseline() -> None:
    """Six recipes as fast as the baseline at every batch size."""
    told = answer_in_words(seen(BASE | {f"r{number}": dict(BASE["baseline"]) for number in range(6)}))
    assert told.startswith(
        "Keep the baseline at batch 8 (30.0 images/s): no recipe within the limits is seen to be faster"
    )


def test_unclear_recipes_are_named_where_the_baseline_is_kept() -> None:
    """Wide intervals are no evidence that nothing is faster."""
    sweep = Sweep(tuple(rows_of({"baseline": {8: 30.0}, "vague": {8: 31.0}}, scatter=0.2)))
    assert "Some intervals of vague are too wide to tell" in answer_in_words(sweep)


def test_one_row_alone_and_skipped_rows_alone() -> None:
    """There is nothing to compare with, or nothing at all."""
    assert answer_in_words(seen({"baseline": {8: 30.0}})) == (
        "No recommendation: only the baseline was timed (30.0 images/s at batch 8)."
    )
    assert answer_in_words(seen({"quick": {8: 30.0}})).startswith(
        "No recommendation: the baseline was not timed"
    )
    skipped = derive([record(recipe="x", status=Status.SKIPPED, reason="no card here")])
    assert answer_in_words(Sweep(tuple(skipped))) == "No recommendation: no row was timed."


def test_another_objective_is_not_confirmed_and_says_how_to_confirm_it() -> None:
    """The run confirmed its winner for throughput; for latency the winner is another one."""
    sweep = seen(QUICK, {"baseline": {8: 30.0}, "quick": {8: 90.0}}, objective="latency")
    told = answer_in_words(sweep)
    assert told.startswith(
        "Not confirmed: good at batch 1 has the best latency of the sweep within the limits"
    )
    assert "To confirm it, run: densebench run --resume" in told


def test_a_choice_that_was_luck_is_withdrawn() -> None:
    """Measured again it is no faster: both figures stand in the sentence."""
    told = answer_in_words(seen(QUICK, {"baseline": {8: 30.0}, "quick": {8: 30.2}, "good": {8: 30.1}}))
    assert told.startswith("No recipe is recommended: quick at batch 8 was the best in the sweep (3.00x")
    assert "measured again in 6 fresh rounds it runs at 1.01x" in told


GRAPHS = {"baseline": {1: 100.0, 32: 2000.0}, "graphs": {1: 290.0, 32: 2120.0}}


@pytest.mark.parametrize("objective", ["throughput", "memory", "size"])
def test_a_choice_that_was_luck_hides_no_other_batch_size(objective: Objective) -> None:
    """1.06x at batch 32 is not confirmed; 2.9x at batch 1 is told, as the sweep's figure, with what confirms it."""
    facts = {
        name: {"model_size_mb": size, "deploy_memory_mb": size}
        for name, size in (("baseline", 9.0), ("graphs", 5.0))
    }
    luck = {"baseline": {1: 100.0, 32: 2000.0}, "graphs": {1: 80.0, 32: 2005.0}}
    sweep = seen(GRAPHS, luck, facts, objective)
    told = answer_in_words(sweep)
    assert sweep.decision.outcome == "not_confirmed"
    size = 1 if objective == "throughput" else 32  # the one that was measured again is told to be refused
    speedup = "2.90x" if size == 1 else "1.06x"
    assert (
        f"By the rows of the sweep alone, not confirmed, graphs is fastest at batch {size} ({speedup})"
        in told
    )
    assert f"run: {sweep.confirm_command} --serving-batch-size {size}" in told
    assert "Keep the baseline" not in told


@pytest.mark.parametrize("objective", ["memory", "size"])
def test_a_leaner_baseline_is_not_kept_without_a_word_on_speed(objective: Objective) -> None:
    """Nothing is smaller than the baseline; recipes that are faster are named with their batch sizes."""
    facts = {
        name: {"model_size_mb": size, "deploy_memory_mb": size}
        for name, size in (("baseline", 5.0), ("graphs", 9.0))
    }
    told = answer_in_words(seen(GRAPHS, facts=facts, objective=objective))
    assert "Keep the baseline" not in told
    assert f"By {objective} no recipe within the limits is" in told
    assert "By the rows of the sweep, graphs is fastest at batches 1 and 32 (1.06x to 2.90x)" in told
    slow = {"baseline": GRAPHS["baseline"], "graphs": {1: 60.0, 32: 1900.0}}
    assert answer_in_words(seen(slow, facts=facts, objective=objective)).startswith("Keep the baseline")


def test_limits_that_nothing_keeps_show_the_near_misses() -> None:
    """The nearest first, with figure and limit."""
    told = answer_in_words(seen(QUICK, max_latency_ms=5.0))
    assert told.startswith(
        "No recommendation: nothing that was measured keeps the limits, the baseline neither."
    )
    assert "Nearest: good (p95 latency 20.1 ms, limit 5.00)" in told


def test_a_limit_of_memory_says_which_batch_sizes_it_shuts_out() -> None:
    """Memory was measured at one batch size: no other row drops out without a word, and nothing is said of it."""
    costs = {name: {"deploy_memory_mb": 200.0, "deploy_batch_size": 1} for name in QUICK}
    told = answer_in_words(seen(QUICK, facts=costs, max_memory_mb=500.0))
    assert told.startswith("Deploy good at batch 1")
    assert "Memory was measured at batch 1 only, so no other batch size was considered" in told
    slow = BASE | {"slow": {1: 10.0, 8: 90.0}}
    told = answer_in_words(seen(slow, facts=costs | {"slow": costs["good"]}, max_memory_mb=500.0))
    assert told.startswith(
        "Keep the baseline at batch 1 (20.0 images/s): no recipe within the limits is seen"
    )
    assert "faster there." in told
    assert "Memory was measured at batch 1 only" in told
    assert "Memory was measured" not in answer_in_words(seen(QUICK, facts=costs))


def test_memory_that_was_not_measured_is_no_broken_limit() -> None:
    """The answer says which figures are missing, not that the rows break the limit."""
    told = answer_in_words(seen(QUICK, max_memory_mb=500.0))
    assert "nothing that was measured keeps the limits" not in told
    assert told.startswith("No recommendation: nothing is known to keep the limits")
    assert re.search(r"Not known, .*: the memory of .*quick.* at batch 8", told)
    costs = {"good": {"deploy_memory_mb": 200.0}}
    told = answer_in_words(seen(QUICK, facts=costs, max_memory_mb=500.0))
    assert told.startswith("Deploy good at batch 8")
    assert "(the baseline is not known to keep the limits: memory not known, limit 500)" in told


def test_an_objective_of_size_says_what_it_costs_in_speed() -> None:
    """The size of both, then the speed by fresh rounds."""
    sizes = {"baseline": {"model_size_mb": 30.0}, "small": {"model_size_mb": 8.0}}
    told = answer_in_words(seen({"baseline": {8: 30.0}, "small": {8: 30.1}}, facts=sizes, objective="size"))
    assert told.startswith(
        "Deploy small at batch 8: 8.00 MB on disk, against 30.0 MB with the baseline; at batch 8 it"
    )
    assert "1.00x" in told


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"correct_top1": labels(700), "accuracy_top1": 70.0}, "but loses 5.00 percentage points of top-1"),
        ({"effect": Effect(none_because="nothing ran in it")}, "but does not do here what it is named for"),
        (BLIND, "but its accuracy, or the baseline's, is not known"),
    ],
)
def test_a_faster_recipe_that_was_refused_says_why(facts: dict[str, Any], words: str) -> None:
    """The reader sees the fastest figure in the table, and here why it is not the answer."""
    (found,) = refused(seen(QUICK, facts={"quick": facts}))
    assert found.sentence.startswith("quick is faster (90.0 images/s) than good in the sweep, but ")
    assert words in found.sentence


def test_a_gain_of_a_process_setting_is_not_the_engine_s() -> None:
    """Where a setting of the process alone is faster at the winner's batch size, the answer says how much."""
    speeds = {"baseline": {8: 30.0}, "quick": {8: 240.0}, "setting": {8: 57.0}}
    told = answer_in_words(seen(speeds, facts={"setting": {"process_setting": True}}))
    assert "A process setting alone, setting, gives 1.90x the baseline's speed at batch 8" in told
    assert "A process setting" not in answer_in_words(seen(speeds))


def test_sooner_needs_intervals_that_exclude_one_another() -> None:
    """`good` is faster at batch 1 for certain, or only by its estimate."""
    assert "At batch 1, good answers sooner" in answer_in_words(seen(QUICK))
    close = QUICK | {"good": {1: 40.2, 8: 60.0}}
    assert "answers sooner" not in answer_in_words(seen(close))


def test_the_answer_as_json_holds_decision_and_rows() -> None:
    """Every column of every row, and the decision with its typed reasons; it can be written as JSON."""
    told = json.loads(json.dumps(answer(seen(QUICK))))
    (decision,) = told["decisions"]
    assert decision["outcome"] == "deploy"
    assert decision["winner"]["recipe"] == "quick"
    assert decision["headline"].startswith("Deploy quick")
    assert {one["recipe"]: one["kind"] for one in decision["reasons"]} == {"good": "not_better"}
    assert len(told["rows"]) == 6
    assert list(told["rows"][0]) == [column.name for column in COLUMNS]


def test_the_schema_in_the_package_is_of_this_answer() -> None:
    """`scripts/update_schemas.py` was run after the last change of the answer."""
    for name, text in texts().items():
        assert Path(FOLDER / name).read_text(encoding="utf-8") == text


def test_each_row_s_tags_say_whether_it_is_the_answer() -> None:
    """What MLflow is told: the row to deploy with the headline, and why the others are not."""
    tags = answer_tags(seen(QUICK))
    assert tags["quick", 8]["recommended"] == "true"
    assert tags["quick", 8]["answer"].startswith("Deploy quick")
    assert tags["good", 8]["recommended"] == "false"
    assert {row for row, told in tags.items() if told["recommended"] == "true"} == {("quick", 8)}


def test_a_baseline_that_is_missing_where_it_counts_is_said_to_be() -> None:
    """It was timed at batch 1 only, and batch 8 is served; or it failed at batch 1, where latency counts."""
    served = Sweep(tuple(rows_of({"baseline": {1: 20.0}, "a": {8: 60.0}})), Limits(serving_batch_size=8))
    assert "the baseline was not timed at batch 8" in answer_in_words(served)
    failed = seen({"baseline": {8: 30.0}, "a": {1: 40.0, 8: 60.0}}, objective="latency")
    assert answer_in_words(failed).startswith("Deploy a at batch 8")


def test_a_few_percent_are_in_no_list() -> None:
    """A speed-up that is surely 1.02x is `same` by the rule of ±3 %, so nothing calls the recipe faster."""
    sweep = Sweep(tuple(rows_of({"baseline": {8: 30.0}, "near": {8: 30.45}}, scatter=0.001)))
    told = [one.sentence for one in analyse(sweep)]
    assert not any(one.startswith("Faster than") for one in told)
    assert any(one.startswith("No difference to the baseline's speed: near") for one in told)
    assert not list(refused(sweep))


def test_what_answers_sooner_keeps_the_limits_too() -> None:
    """A recipe that breaks the limit of size is not named for its latency."""
    sizes = {
        "quick": {"model_size_mb": 8.0},
        "good": {"model_size_mb": 50.0},
        "baseline": {"model_size_mb": 30.0},
    }
    assert "answers sooner" not in answer_in_words(seen(QUICK, facts=sizes, max_size_mb=40.0))


def test_without_the_objective_s_figure_nobody_wins() -> None:
    """A recipe whose size was not measured is not the smallest, nor is one where the baseline's was not."""
    for known in ("baseline", "a"):
        sizes = {known: {"model_size_mb": 30.0}}
        sweep = seen({"baseline": {8: 30.0}, "a": {8: 60.0}}, facts=sizes, objective="size")
        assert "model_size_mb, which --objective size compares, is not known" in answer_in_words(sweep)


def test_the_row_that_is_marked_is_the_one_that_best_leads_to() -> None:
    """Where the winner is best at its own batch size only, both are the baseline's at its best one."""
    sweep = seen({"baseline": {1: 100.0, 32: 2000.0}, "graphs": {1: 290.0, 32: 2005.0}})
    assert sweep.chosen is not None
    assert sweep.chosen.key == ("baseline", 32)
    assert sweep.artifact == sweep.chosen.artifact


def test_a_recipe_that_is_unclear_elsewhere_is_named_where_the_baseline_is_kept() -> None:
    """It is the same at its best batch size, and may be faster at another one."""
    rows = [
        *rows_of({"baseline": {8: 30.0}, "a": {8: 30.1}}, scatter=0.001),
        *rows_of({"baseline": {1: 20.0}, "a": {1: 22.0}}, scatter=0.3),
    ]
    told = answer_in_words(Sweep(tuple(rows)))
    assert "Some intervals of a are too wide to tell" in told


def test_a_faster_recipe_is_not_hidden_behind_an_unclear_one() -> None:
    """The highest figure is not clearly above the baseline's, and another recipe's is."""
    rows = [
        *rows_of({"baseline": {8: 30.0}, "sure": {8: 36.0}}, scatter=0.002),
        *rows_of({"vague": {8: 40.0}}, scatter=0.5),
    ]
    unsure = [row.model_copy(update={"verdict": "unclear"}) if row.recipe == "vague" else row for row in rows]
    told = [one.sentence for one in analyse(Sweep(tuple(unsure))) if one.topic == "throughput"]
    assert told[0].startswith("Fastest by batch size: sure at batch 8 with 36.0 images/s")
    assert told[0].endswith(
        "although the highest figure is vague at batch 8, not clearly above the baseline's."
    )


def test_a_broken_limit_of_latency_says_which_percentile() -> None:
    """The limit holds against p95 where there is one; the recommended recipe's own is told too."""
    told = answer_in_words(seen(QUICK, max_latency_ms=60.0, serving_batch_size=1))
    assert re.search(r"Within the limits: p95 latency 20\.\d of 60 ms\.", told)


def resumed(command: str, former: dict[str, Any]) -> RunSpec:
    """What a run would do that is resumed with this command."""
    program, name, *arguments = shlex.split(command)
    assert (program, name) == ("densebench", "run")
    group = get_command(main.app)
    assert isinstance(group, TyperGroup)
    with group.commands["run"].make_context("run", arguments) as context:
        flags = {name: value for name, value in context.params.items() if name in OF_A_RUN}
    return RunSpec.create(**given(flags)).going_on(former)


@pytest.mark.parametrize(
    ("before", "own", "asked"),
    [
        ("", {}, {"objective": "latency", "max_size_mb": 20.0}),
        ("--max-accuracy-drop 2", {"max_accuracy_drop": 2.0}, {"max_accuracy_drop": 1.0}),
        (
            "--objective=size --max-size-mb=50",
            {"objective": "size", "max_size_mb": 50.0},
            {"objective": "latency"},
        ),
        ("--resume --max-latency-ms 9", {"max_latency_ms": 9.0}, {"max_latency_ms": 1234567.25}),
        ("--output-dir 'a && b'", {}, {"serving_batch_size": 8}),
    ],
)
def test_what_confirms_an_answer_asks_for_the_same_choice(
    before: str, own: dict[str, Any], asked: dict[str, Any]
) -> None:
    """The printed command resumes the run by the report's objective and limits, whatever the run itself had."""
    command = f"densebench run --seed 3 {before}"
    wanted = header(spec={**own, **asked}, command=f"densebench run --quick && {command}")
    sweep = sweep_of(wanted, rows_of(QUICK))
    former = RunSpec.create(**own).model_dump(mode="json")
    spec = resumed(sweep.confirm_command, former)
    assert (spec.objective, spec.limits) == (sweep.objective, sweep.limits)
    assert spec.resume
    assert spec.seed == 3
    assert "a && b" in str(spec.output_dir) or "a && b" not in before
    assert sweep.confirm_command.count("--objective") == 1


@pytest.mark.parametrize("command", ["", "python mine.py", "densebench run --model 'x"])
def test_a_run_without_a_command_prints_none(command: str) -> None:
    """One that was started from Python, or whose journal was changed by hand."""
    assert not sweep_of(header(command=command), rows_of(QUICK)).confirm_command
