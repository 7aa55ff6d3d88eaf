"""The analysis follows the data: hand-made rows where different recipes win."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densebench.decision import OBJECTIVES
from densebench.report.analysis import analyse
from densebench.report.sweep import Finding, Sweep
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.results.record import Record, Row
from densebench.schema import Caveat, Effect
from densebench.spec import Limits, Objective
from tests.factory import broken, confirmed, record, rounded, rows_of, timed

BASE = {"baseline": {1: 20.0, 8: 30.0}}


def seen(rows: list[Row], limit: float = 1.0) -> Sweep:
    """The rows, confirmed as they are."""
    return Sweep(tuple(rows), Limits(max_accuracy_drop=limit), confirmation=confirmed(rows))


def said(rows: list[Row], topic: str, limit: float = 1.0) -> str:
    """Everything said on a topic."""
    return "\n".join(one.sentence for one in analyse(seen(rows, limit)) if one.topic == topic)


def topics(rows: list[Row]) -> set[str]:
    """What there is anything to say about."""
    return {one.topic for one in analyse(seen(rows))}


@pytest.mark.parametrize("winner", ["x", "y", "z"])
def test_the_winner_is_the_one_that_won(winner: str) -> None:
    """Whoever has the highest throughput is named first, with the runner-up and both margins."""
    others = [name for name in "xyz" if name != winner]
    speeds = BASE | {winner: {1: 22, 8: 90}, others[0]: {1: 22, 8: 60}, others[1]: {1: 22, 8: 45}}
    overall = said(rows_of(speeds), "throughput").splitlines()[-1]
    assert overall == (
        f"Highest throughput: {winner} with 90.0 images/s at batch 8, 3.00x the best of the baseline "
        f"(30.0 images/s at batch 8); the runner-up is {others[0]} with 60.0 images/s (33 % behind)."
    )
    answer = said(rows_of(speeds, rounded, accuracy_top1=dict.fromkeys(speeds, 99.0)), "recommendation")
    assert answer.startswith(f"Deploy {winner} at batch 8: 3.00x")
    assert f"Next is {others[0]} at batch 8: {winner} gives 1.50x its images per second" in answer


def test_a_runner_up_that_is_as_fast_is_said_to_be() -> None:
    """A margin in percent alone would claim more than was measured."""
    speeds = {"baseline": {8: 30}, "x": {8: 90}, "y": {8: 89.99}}
    told = said(rows_of(speeds, rounded, accuracy_top1=dict.fromkeys(speeds, 99.0)), "recommendation")
    assert "Next is y at batch 8: fresh rounds don't tell" in told


def test_each_batch_size_has_its_winner() -> None:
    """A recipe that wins at batch 1 and loses at batch 8 is named where it wins."""
    rows = rows_of(BASE | {"small": {1: 60, 8: 40}, "large": {1: 30, 8: 90}})
    lines = said(rows, "throughput")
    assert "small at batch 1 with 60.0 images/s, 3.00x the baseline; large at batch 8 with 90.0" in lines
    assert "Lowest latency at batch 1: small with a median of 16.7 ms, against 50.0 ms" in said(
        rows, "latency"
    )


def test_a_baseline_that_wins_is_kept() -> None:
    """Where nothing beats the baseline, that is the recommendation."""
    rows = rows_of(BASE | {"x": {1: 10, 8: 12}}, rounded)
    assert said(rows, "recommendation").startswith("Keep the baseline at batch 8 (30.0 images/s): no recipe")
    assert "nothing is faster than the baseline" in said(rows, "throughput")


@pytest.mark.parametrize(
    ("drop", "moved"), [(0.0, "stays"), (99.4 - 98.4, "falls by 1.00"), (-0.1, "rises by 0.10")]
)
def test_too_few_images_are_not_a_loss(drop: float, moved: str) -> None:
    """What only the bound refuses is said to be possible, not to be so."""
    speeds = BASE | {"x": {8: 90}, "y": {8: 60}}
    facts = {"accuracy_drop_pp": drop, "accuracy_drop_ci_high_pp": 1.5}
    rows = [
        row.model_copy(update=facts if row.recipe == "x" else {})
        for row in rows_of(speeds, rounded, accuracy_top1=dict.fromkeys(speeds, 99.0))
    ]
    assert said(rows, "refused") == (
        "x is faster (90.0 images/s) than y in the sweep, but may lose up to 1.50 percentage points of top-1, which "
        f"{moved} as measured: too few images to tell with 95 % confidence."
    )


def test_the_lists_name_each_recipe_once() -> None:
    """At its best and its worst batch size; with rounds behind them, what the lists claim is said with them."""
    speeds = BASE | {
        "quick": {1: 40, 8: 90},
        "slow": {1: 10, 8: 12},
        "same": {8: 30},
        "mixed": {1: 40, 8: 15},
    }
    rows = rows_of(speeds, rounded)
    mixed = "mixed (2.00x at batch 1 to 0.50x at batch 8)"
    assert said(rows, "faster") == (
        f"Faster than the baseline: quick (3.00x at batch 8 to 2.00x at batch 1) and {mixed}."
    )
    assert said(rows, "slower") == (
        f"Slower than the baseline: slow (0.50x at batch 1 to 0.40x at batch 8) and {mixed}."
    )
    assert said(rows, "overview") == (
        "2 of 4 recipes are faster than the baseline, tested for all at once; slower at some batch size: slow and "
        "mixed; not told apart from it: same."
    )
    same = "No difference to the baseline's speed: same (1.00x at batch 8)."
    assert said(rows, "no difference") == same
    assert said(rows, "lists").startswith(
        "The lists of faster and slower recipes hold for all recipes at once"
    )
    single = rows_of(speeds)  # by ±3 % alone, which holds for nothing
    assert [said(single, name) for name in ("faster", "slower", "no difference")] == [
        said(rows, name) for name in ("faster", "slower", "no difference")
    ]
    assert said(single, "lists") == ""
    assert "single process" in said(single, "limits")
    assert said(single, "recommendation").startswith(
        "No recommendation: each figure comes from a single process"
    )


def test_a_verdict_outranks_the_rule_of_thumb() -> None:
    """Where intervals gave a verdict, it decides; and rows with an interval are not called without."""
    base, row = rows_of({"baseline": {8: 30}, "x": {8: 36}})
    unsure = row.model_copy(
        update={"verdict": "unclear", "throughput_ci_low": 29.0, "throughput_ci_high": 41.0}
    )
    assert said([base, unsure], "noise") == "Not told apart from the baseline: x (1.20x at batch 8, unclear)."
    assert said([base, unsure], "no difference") == ""
    assert "1 of 2 figures" in said([base, unsure], "limits")


def test_the_fastest_may_lose_too_much() -> None:
    """A recipe beyond the accuracy limit is not recommended, and the price of its speed is told."""
    speeds = BASE | {"fast": {1: 50, 8: 200}, "good": {1: 40, 8: 100}}
    rows = rows_of(speeds, rounded, accuracy_top1={"baseline": 99.0, "fast": 96.0, "good": 98.5})
    answer = said(rows, "recommendation")
    assert answer.startswith("Deploy good at batch 8: 3.33x")
    assert "; its top-1 falls by 0.50, within the limit of 1 percentage point." in answer
    assert said(rows, "refused") == (
        "fast is faster (200 images/s) than good in the sweep, but loses 3.00 percentage points of top-1."
    )
    assert "Within the limit of 1 percentage point: good (-0.50)." in said(rows, "accuracy")
    warning = "Warning: top-1 falls by more than 1 percentage point with fast (-3.00, to 96.00 %)"
    assert f"{warning}." in said(rows, "accuracy")
    assert f"{warning} (this run's limit: 3 percentage points)." in said(rows, "accuracy", limit=3.0)
    strict = said(rows, "accuracy", limit=0.2)
    assert "Loses more than 0.2 percentage points: good (-0.50, to 98.50 %)." in strict
    assert warning in strict
    assert said(rows, "recommendation", limit=3.0).startswith("Deploy fast")


def test_a_loss_of_exactly_the_limit_is_within_it() -> None:
    """Rounding in binary does not throw a recipe out at the limit."""
    rows = rows_of(BASE | {"x": {8: 60}}, rounded, accuracy_top1={"baseline": 99.1, "x": 98.1 - 1e-12})
    assert rows[-1].accuracy_drop_pp > 1  # type: ignore[operator]
    assert said(rows, "recommendation").startswith("Deploy x")


def test_accuracies_that_are_not_known_are_told() -> None:
    """Those of single recipes by name; and where nothing was judged, that, with the guesses that stayed."""
    speeds = BASE | {"wild": {8: 200}, "close": {8: 100}}
    some = rows_of(speeds, accuracy_top1={"baseline": 99.0, "close": 99.0})
    assert "The accuracy of wild was not measured." in said(some, "limits")
    assert "Accuracy was not measured" in said(rows_of(speeds), "limits")
    assert "accuracy" not in topics(rows_of(speeds))
    agreeing = rows_of(speeds, top1_agreement={"baseline": 1.0, "wild": 0.2, "close": 0.995})
    assert "wild 20.00 % and close 99.50 %" in said(agreeing, "accuracy")


def test_only_failures() -> None:
    """A run in which nothing ran has reasons and no figures."""
    rows = broken("baseline", [1, 8], Status.FAILED, "boom") + broken("x", [1], Status.SKIPPED, "")
    assert topics(rows) == {"recommendation", "missing"}
    assert said(rows, "missing") == (
        "baseline at batches 1 and 8 failed: boom.\nx at batch 1 was skipped: no reason given."
    )


def test_a_single_row() -> None:
    """One row is told as what it is, without a comparison."""
    rows = rows_of({"x": {4: 12}})
    assert said(rows, "throughput") == "Fastest by batch size: x at batch 4 with 12.0 images/s."
    assert "No baseline was measured at batch 4" in said(rows, "limits")


def test_no_rows() -> None:
    """All that is said of nothing is that there is nothing to recommend."""
    assert [one.sentence for one in analyse(seen([]))] == ["No recommendation: no row was timed."]


def test_no_effect_is_told_with_its_reason() -> None:
    """Recipes that were seen to change nothing are named together, once per reason."""
    rows = rows_of(
        BASE | {"x": {1: 20, 8: 30}, "y": {8: 30}},
        effect=dict.fromkeys("xy", Effect(none_because="one layer only")),
    )
    assert said(rows, "effect") == "No effect was seen of x and y (one layer only)."


def test_zeros_make_nothing_faster() -> None:
    """Zero weights are called useless for speed only where the recipe is no faster."""
    zeros = {"baseline": 0.0001, "x": 0.3}
    assert "30 % of the weights of x are zero" in said(
        rows_of(BASE | {"x": {1: 20, 8: 30}}, zero_fraction=zeros), "zeros"
    )
    assert "zeros" not in topics(rows_of(BASE | {"x": {1: 30, 8: 45}}, zero_fraction=zeros))
    noisy = [
        row.model_copy(update={"verdict": "unclear"})
        for row in rows_of(BASE | {"x": {8: 30}}, zero_fraction=zeros)
    ]
    assert "zeros" not in topics(noisy), "it may be faster"
    own = rows_of(BASE | {"x": {1: 20, 8: 30}}, zero_fraction={"baseline": 0.3, "x": 0.3})
    assert "zeros" not in topics(own), "the baseline has them too"


def test_saturation() -> None:
    """The batch size that suffices is told, and who gets slower after it."""
    rows = rows_of(
        {"baseline": {1: 20, 8: 39, 32: 40}, "x": {1: 50, 8: 40, 32: 30}, "y": {1: 10, 8: 20, 32: 40}}
    )
    rows += rows_of({"z": {1: 10, 8: 20}})  # which has no larger one
    scaling = said(rows, "scaling")
    assert scaling == (
        "1 of 4 recipes gets slower with larger batches: x (50.0 images/s at batch 1, 30.0 at batch 32).\n"
        "95 % of the best throughput is reached at batch 1 by x; at batch 8 by baseline; at batch 8, the largest "
        "measured, by z; at batch 32, the largest measured, by y. A batch larger than measured may bring more."
    )


def test_slower_with_larger_batches_is_beyond_the_noise() -> None:
    """Where the intervals of the best batch size and of the largest overlap, nothing is said to get slower."""
    rows = rows_of({"x": {1: 50, 8: 40}})

    def within(half: float) -> list[Row]:
        return [
            row.model_copy(update={"throughput_ci_low": speed - half, "throughput_ci_high": speed + half})
            for row, speed in zip(rows, (50.0, 40.0), strict=True)
        ]

    assert "gets slower" in said(within(4), "scaling")
    assert "gets slower" not in said(within(6), "scaling")


def test_size_and_memory() -> None:
    """Smallest and larger files, least and most memory, each with the baseline's."""
    rows = rows_of(
        BASE | {"x": {8: 30}, "y": {8: 30}},
        model_size_mb={"baseline": 32.0, "x": 16.0, "y": 64.0},
        host_memory_peak_mb={"baseline": 700.0, "x": 500.0, "y": 900.0},
    )
    assert "Smallest file: x with 16.0 MB, against 32.0 MB for the baseline." in said(rows, "size")
    assert "Larger than the baseline's 32.0 MB: y (64.0 MB)." in said(rows, "size")
    assert said(rows, "memory") == (
        "Peak host memory at batch 8: least with x, 500 MB, 700 MB for the baseline; most with y, 900 MB."
    )


def test_start_up_and_caveats() -> None:
    """The longest build, the slowest first inference and the caveats are told."""
    rows = rows_of(
        BASE | {"x": {8: 40}},
        build_s={"baseline": 0.1, "x": 64.0},
        first_inference_s={"baseline": 0.1, "x": 8.0},
        cold_start_s={"baseline": 1.0, "x": 30.0},
        caveats={"x": (Caveat(text="The format is old."),)},
    )
    start = said(rows, "start")
    assert "Longest build: x with 64 s." in start  # from one process each: whether it pays isn't known
    paid = [row.model_copy(update={"break_even_images": 7668}) if row.recipe == "x" else row for row in rows]
    assert "Longest build: x with 64 s, paid back after 7668 images at batch 8." in said(paid, "start")
    assert "Slowest first inference: x with 8.0 s at batch 8, 40 times its median" in start
    assert "1.0 s with baseline, 30 s with x" in start
    assert said(rows, "caveats") == "x: The format is old."


def test_deprecated_and_bound_formats_are_told_apart() -> None:
    """What is deprecated comes first, then what runs only where it was built, then what else there is to know."""
    rows = rows_of(
        BASE | {"x": {8: 40}, "y": {8: 40}, "z": {8: 40}},
        caveats={
            "x": (Caveat(text="Mind the gap."),),
            "y": (Caveat(text="Bound to this CPU.", kind="portability"),),
            "z": (Caveat(text="The format is deprecated.", kind="deprecation"),),
        },
    )
    assert said(rows, "deprecation") == "A deprecated format, z: The format is deprecated."
    assert said(rows, "portability") == "Not portable, y: Bound to this CPU."
    order = [
        one.topic for one in analyse(seen(rows)) if one.topic in ("caveats", "deprecation", "portability")
    ]
    assert order == ["deprecation", "portability", "caveats"]


def test_no_recipe_beats_those_on_the_front() -> None:
    """Recipes that no other beats in both are named with both figures, those too close to call with their rival."""
    rows = rows_of(
        BASE | {"fast": {8: 90}, "poor": {8: 25}, "near": {8: 89}},
        accuracy_top1={"baseline": 99.0, "fast": 97.0, "poor": 96.0, "near": 96.5},
    )
    assert said(rows, "pareto") == (
        "Beaten by no other in both throughput and top-1: fast (90.0 images/s, 97.00 %) and baseline "
        "(30.0 images/s, 99.00 %).\n"
        "Too close to say whether another beats it in both throughput and top-1: near (against fast)."
    )
    assert "pareto" not in topics(rows_of(BASE))


def test_the_ceiling() -> None:
    """Where the machine's ceiling was measured, the recipes nearest to and furthest from it are told."""
    rows = rows_of(BASE | {"x": {8: 90}}, roofline_fraction={"baseline": 0.12, "x": 0.61})
    assert said(rows, "ceiling") == (
        "Closest to this machine's measured ceiling: x with 61 % at batch 8; furthest: baseline with 12 % at batch 8."
    )
    assert "ceiling" not in topics(rows_of(BASE))


def test_what_speaks_against_the_winner_is_told() -> None:
    """Its costs, its caveats, and that its row met interference, which is named among the limits too."""
    speeds = {"baseline": {8: 30}, "x": {8: 60}}
    rows = rows_of(
        speeds,
        rounded,
        accuracy_top1=dict.fromkeys(speeds, 99.0),
        model_size_mb={"baseline": 32.3, "x": 16.1},
        caveats={"x": (Caveat(text="The format is old."),)},
        stable={"x": False},
        interference={"x": "a backup ran"},
    )
    answer = said(rows, "recommendation")
    assert "x costs 16.1 MB on disk (baseline 32.3 MB)." in answer
    assert "Note: The format is old." in answer
    assert "Its row was measured with interference." in answer
    assert "with care: x at batch 8" in said(rows, "limits")
    assert "a backup ran" in said(rows, "limits")


def test_calls_that_were_left_out_are_told() -> None:
    """The row that lost most, by its share."""
    rows = derive([timed("baseline", 8, 30, left_out=0.05), timed("x", 8, 60, left_out=0.124)])
    assert "Left out of every figure were up to 12 % of the calls of x at batch 8" in said(rows, "limits")
    assert "Left out" not in said(derive([timed("baseline", 8, 30, left_out=0.004)]), "limits")


def test_memory_that_is_taken_anew_is_told() -> None:
    """The process with most of it stands for a row; 10 MB a call are nothing to speak of."""

    def told(*page_faults: float | None) -> str:
        times = ((10.0,),) * len(page_faults)
        rows = derive(
            record(recipe=name, batch_size=8, samples_ms=times, page_faults=page_faults) for name in "xy"
        )
        return said(rows, "limits")

    assert (
        "In x at batch 8; y at batch 8 each inference takes memory from the kernel anew, up to 12,345 pages: an "
        "allocator that keeps freed memory spares the time that this takes."
    ) in told(300.0, 12345.0, None)
    assert "pages" not in told(2500.0, 300.0)
    assert "pages" not in told(None, None)


PAIRED, ALONE = {"pairs": [[((10.0,) * 5, (20.0,))]]}, {"samples_ms": [(10.0,) * 5]}


@pytest.mark.parametrize(
    ("own", "named"),
    [({}, True), (ALONE, True), (PAIRED | ALONE, True), ({"pairs": PAIRED["pairs"] * 2}, False)],
)
def test_processes_without_pairs_are_told(own: dict[str, Any], *, named: bool) -> None:
    """Whether some of a recipe's processes had none, or all."""
    baseline = record(batch_size=8, **PAIRED)
    other = record(recipe="x", batch_size=8, **(own or {"samples_ms": ALONE["samples_ms"] * 2}))
    told = said(derive([baseline, other]), "limits")
    assert ("Some processes of x at batch 8, or all, were measured without pairs" in told) is named


def test_where_nothing_has_pairs_none_are_missed() -> None:
    """At a batch size where no process was to have any, whatever there is at others."""
    both = [record(**PAIRED), record(recipe="x", **PAIRED)]
    others = [record(batch_size=8, **ALONE), record(recipe="x", batch_size=8, **ALONE)]
    assert "without pairs" not in said(derive([*both, *others]), "limits")


def test_names_from_the_data_stay_on_one_line() -> None:
    """A recipe called with a line break or markup is plain text in one line."""
    speeds = BASE | {"<script>|\n# x": {8: 90}, "y": {8: 60}}
    rows = rows_of(speeds, rounded, accuracy_top1=dict.fromkeys(speeds, 99.0))
    assert all("\n" not in one.sentence for one in analyse(seen(rows)))
    assert said(rows, "recommendation").startswith("Deploy <script>| # x at batch 8")


@given(
    st.lists(
        st.builds(
            record,
            recipe=st.sampled_from(["baseline", "a", "b"]),
            batch_size=st.sampled_from([1, 8, 32]),
            status=st.sampled_from(Status),
            stage=st.sampled_from(["sweep", "confirmation"]),
            samples_ms=st.sampled_from(
                [
                    (),
                    ((5.0,) * 60,),
                    ((7.0,) * 3,),
                    ((3.0,) * 400,),
                    ((3.0,), (3.1,), (2.9,)),
                    ((9.0,), (9.3,), (9.2,)),
                ]
            ),
            accuracy_top1=st.none() | st.floats(0, 100),
            top1_agreement=st.none() | st.floats(0, 1),
            model_size_mb=st.none() | st.floats(0, 100),
            host_memory_peak_mb=st.none() | st.floats(0, 1e5),
            deploy_memory_mb=st.none() | st.floats(0, 1e5),
            zero_fraction=st.none() | st.floats(0, 1),
            build_s=st.none() | st.floats(0, 1e5),
            first_inference_s=st.none() | st.floats(0, 100),
            output_sqnr_db=st.none() | st.floats(-10, 200),
            effect=st.sampled_from([None, Effect(seen=("it",)), Effect(none_because="why")]),
            stable=st.none() | st.booleans(),
            environment_id=st.sampled_from(["0badcafe", "feedbeef"]),
        ),
        max_size=12,
    ),
    st.sampled_from(OBJECTIVES),
    st.builds(
        Limits,
        max_latency_ms=st.none() | st.floats(1, 10),
        max_memory_mb=st.none() | st.floats(0, 1e5),
        max_size_mb=st.none() | st.floats(0, 100),
        serving_batch_size=st.sampled_from([None, 1, 8]),
    ),
)
@settings(deadline=None)
def test_every_finding_has_evidence(records: list[Record], objective: Objective, limits: Limits) -> None:
    """Whatever ran or did not, the analysis ends, and each sentence points at rows of its environment that exist.

    All but one that recommends nothing, where there is nothing to point at.
    """
    rows = derive(records)
    again = tuple(one for one in records if one.stage == "confirmation")
    for one in analyse(Sweep(tuple(rows), limits, objective, again)):
        cells = {row.key for row in rows if one.environment in ("", row.environment_id)}
        assert isinstance(one, Finding)
        assert one.evidence or one.said.startswith("No recommendation: ")
        assert set(one.evidence) <= cells
        assert one.sentence.endswith(".")
        assert "None" not in one.sentence


def test_a_clear_recipe_behind_one_that_may_be_faster_is_deployed() -> None:
    """The fastest by its mean is too noisy to tell from the baseline; what comes after it isn't."""
    speeds = BASE | {"noisy": {1: 40.0, 8: 90.0}, "sure": {1: 30.0, 8: 60.0}}
    rows = [
        row.model_copy(update={"verdict": "unclear"} if row.recipe == "noisy" else {})
        for row in rows_of(speeds, rounded, accuracy_top1=dict.fromkeys(speeds, 99.0))
    ]
    answer = said(rows, "recommendation")
    assert answer.startswith("Deploy sure at batch 8: 2.00x")
    assert "Next is" not in answer
    assert said(rows, "refused") == (
        "noisy is faster (90.0 images/s) than sure in the sweep, but is not clearly faster than the baseline there "
        "(3.00x)."
    )
