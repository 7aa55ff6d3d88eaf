"""The analysis follows the data: hand-made rows where different recipes win."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import densebench.report
from densebench.record import Row, Status
from densebench.report.analysis import analyse
from densebench.report.recommendation import recommendation_of
from densebench.report.sweep import Finding
from densebench.rows import derive
from tests.factory import broken, record, rows_of, timed

BASE = {"baseline": {1: 20.0, 8: 30.0}}


def said(rows: list[Row], topic: str, limit: float = 1.0) -> str:
    """Everything said on a topic."""
    return "\n".join(one.sentence for one in analyse(rows, limit) if one.topic == topic)


def topics(rows: list[Row]) -> set[str]:
    """What there is anything to say about."""
    return {one.topic for one in analyse(rows)}


@pytest.mark.parametrize("winner", ["x", "y", "z"])
def test_the_winner_is_the_one_that_won(winner: str) -> None:
    """Whoever has the highest throughput is named first, with the runner-up and both margins."""
    others = [name for name in "xyz" if name != winner]
    rows = rows_of(BASE | {winner: {1: 22, 8: 90}, others[0]: {1: 22, 8: 60}, others[1]: {1: 22, 8: 45}})
    overall = said(rows, "throughput").splitlines()[0]
    assert overall == (
        f"Highest throughput: {winner} with 90.0 images/s at batch 8, 3.00x the best of the baseline "
        f"(30.0 images/s at batch 8); the runner-up is {others[0]} with 60.0 images/s (33 % behind)."
    )
    assert said(rows, "recommendation").startswith(f"Deploy {winner}: 90.0 images/s at batch 8, 3.00x")


@pytest.mark.parametrize(("second", "close"), [((70, 110), True), ((70, 79), False)])
def test_a_runner_up_within_the_intervals_is_said_to_be(second: tuple[float, float], *, close: bool) -> None:
    """A margin in percent alone would claim more than was measured."""
    first, other = (
        row.model_copy(update={"throughput_ci_low": low, "throughput_ci_high": high})
        for row, (low, high) in zip(rows_of({"x": {8: 90}, "y": {8: 75}}), ((80, 100), second), strict=True)
    )
    told = "Next is y with 75.0 images/s (17 % less" + ", within their intervals" * close + ")."
    assert told in recommendation_of([first, other])


def test_each_batch_size_has_its_winner() -> None:
    """A recipe that wins at batch 1 and loses at batch 8 is named where it wins."""
    rows = rows_of(BASE | {"small": {1: 60, 8: 40}, "large": {1: 30, 8: 90}})
    lines = said(rows, "throughput")
    assert "At batch 1, small is fastest with 60.0 images/s, 3.00x the baseline (20.0 images/s)" in lines
    assert "At batch 8, large is fastest with 90.0 images/s" in lines
    assert "Lowest latency at batch 1: small with a median of 16.7 ms, against 50.0 ms" in said(
        rows, "latency"
    )
    assert "At batch 1, small answers sooner (median 16.7 ms)" in said(rows, "recommendation")


def test_a_baseline_that_wins_is_kept() -> None:
    """Where nothing beats the baseline, that is the recommendation."""
    rows = rows_of(BASE | {"x": {1: 10, 8: 15}})
    assert said(rows, "recommendation").startswith("Keep the baseline (30.0 images/s at batch 8): no recipe")
    assert "nothing is faster than the baseline" in said(rows, "throughput")
    assert said(rows, "slower") == "Slower than the baseline: x at batches 1 and 8 (0.50x)."


def test_nothing_to_recommend_says_why() -> None:
    """Rows that were timed and lose too much, with no baseline to keep, are not called untimed."""
    rows = [row.model_copy(update={"accuracy_drop_pp": 5.0}) for row in rows_of({"x": {8: 90}})]
    assert recommendation_of(rows) == (
        "No recommendation: nothing was timed that does what it is named for and is seen to lose no more than "
        "1 percentage point of top-1."
    )
    assert recommendation_of(broken("x", [8], Status.FAILED, "no")) == "No recommendation: no row was timed."


@pytest.mark.parametrize(
    ("drop", "moved"), [(0.0, "stays"), (99.4 - 98.4, "falls by 1.00"), (-0.1, "rises by 0.10")]
)
def test_too_few_images_are_not_a_loss(drop: float, moved: str) -> None:
    """What only the bound refuses is said to be possible, not to be so."""
    rows = rows_of(BASE | {"x": {8: 90}})
    facts = {"accuracy_drop_pp": drop, "accuracy_drop_ci_high_pp": 1.5}
    rows = [row.model_copy(update=facts if row.recipe == "x" else {}) for row in rows]
    assert said(rows, "accuracy for speed").endswith(
        f"but may lose up to 1.50 percentage points of top-1, which {moved} as measured: too few images to tell "
        "with 95 % confidence."
    )


def test_a_few_percent_are_no_difference() -> None:
    """Within 3 % nothing is called faster, and nothing is recommended for it."""
    rows = rows_of(BASE | {"x": {1: 20.4, 8: 30.5}})
    assert said(rows, "no difference") == (
        "No difference to the baseline's speed: x at batches 1 and 8 (1.02x)."
    )
    assert said(rows, "recommendation").startswith("Keep the baseline")
    assert "single process" in said(rows, "limits")


def test_a_verdict_outranks_the_rule_of_thumb() -> None:
    """Where intervals gave a verdict, it decides; and rows with an interval are not called without."""
    base, row = rows_of({"baseline": {8: 30}, "x": {8: 36}})
    unsure = row.model_copy(
        update={"verdict": "unclear", "throughput_ci_low": 29.0, "throughput_ci_high": 41.0}
    )
    assert said([base, unsure], "noise") == "Too noisy to tell from the baseline: x at batch 8 (1.20x)."
    assert said([base, unsure], "no difference") == ""
    assert said([base, unsure], "recommendation").startswith("Keep the baseline")
    assert "1 of 2 figures" in said([base, unsure], "limits")


def test_the_fastest_may_lose_too_much() -> None:
    """A recipe beyond the accuracy limit is not recommended, and the price of its speed is told."""
    speeds = BASE | {"fast": {1: 50, 8: 200}, "good": {1: 40, 8: 100}}
    accuracy = {"baseline": 99.0, "fast": 96.0, "good": 98.5}
    rows = rows_of(speeds, accuracy_top1=accuracy)
    assert "Deploy good: 100 images/s at batch 8, 3.33x the baseline; its top-1 falls by 0.50" in said(
        rows, "recommendation"
    )
    assert said(rows, "accuracy for speed") == (
        "fast is faster than good (200 images/s at batch 8) but loses 3.00 percentage points of top-1."
    )
    assert "Within the limit of 1 percentage point: good (-0.50)." in said(rows, "accuracy")
    warning = "Warning: top-1 falls by more than 1 percentage point with fast (-3.00, to 96.00 %)"
    assert f"{warning}." in said(rows, "accuracy")
    assert f"{warning} (this run's limit: 3 percentage points)." in said(rows, "accuracy", limit=3.0)
    strict = said(rows, "accuracy", limit=0.2)
    assert "Loses more than 0.2 percentage points: good (-0.50, to 98.50 %)." in strict
    assert warning in strict
    assert said(rows, "recommendation", limit=3.0).startswith("Deploy fast")


def test_what_did_not_do_what_it_is_named_for_is_not_recommended() -> None:
    """OpenVINO's BF16 runs in FP32 on a processor without it, as fast as `openvino`: that one is what to deploy."""
    speeds = BASE | {"plain": {1: 40, 8: 100}, "idle": {1: 40, 8: 101}}
    rows = rows_of(speeds, effect={"idle": "none: nothing runs in bfloat16"})
    assert said(rows, "recommendation").startswith("Deploy plain")
    assert "idle" not in said(rows, "recommendation")
    assert said(rows, "accuracy for speed") == (
        "idle is faster than plain (101 images/s at batch 8) but does not do here what it is named for."
    )
    assert "idle had no effect here: nothing runs in bfloat16." in said(rows, "effect")


def test_what_is_not_clearly_faster_only_may_be() -> None:
    """Its interval reaches down into that of the recipe to deploy."""
    rows = rows_of(
        BASE | {"good": {8: 100}, "fast": {8: 110}},
        accuracy_top1={"baseline": 99.0, "good": 99.0, "fast": 90.0},
    )
    wide = {"throughput_ci_low": 90.0, "throughput_ci_high": 130.0}
    assert "fast is faster than good" in said(rows, "accuracy for speed")
    unsure = [row.model_copy(update=wide) if row.recipe in ("good", "fast") else row for row in rows]
    assert "fast may be faster than good" in said(unsure, "accuracy for speed")


def test_a_loss_of_exactly_the_limit_is_within_it() -> None:
    """Rounding in binary does not throw a recipe out at the limit."""
    rows = rows_of(BASE | {"x": {8: 60}}, accuracy_top1={"baseline": 99.1, "x": 98.1 - 1e-12})
    assert rows[-1].accuracy_drop_pp > 1  # type: ignore[operator]
    assert said(rows, "recommendation").startswith("Deploy x")


def test_a_recipe_of_unknown_accuracy_is_not_recommended() -> None:
    """Where others were judged, a recipe without accuracy is not taken, and that is said."""
    rows = rows_of(
        BASE | {"blind": {8: 200}, "good": {8: 100}}, accuracy_top1={"baseline": 99.0, "good": 99.0}
    )
    assert said(rows, "recommendation").startswith("Deploy good")
    assert "blind is faster than good" in said(rows, "accuracy for speed")
    assert "The accuracy of blind was not measured." in said(rows, "limits")


def test_agreement_stands_in_for_labels() -> None:
    """Without labels a recipe whose first guesses stay within the limit may be recommended, others not."""
    rows = rows_of(
        BASE | {"wild": {8: 200}, "close": {8: 100}},
        top1_agreement={"baseline": 1.0, "wild": 0.2, "close": 0.995},
    )
    assert said(rows, "recommendation").startswith("Deploy close")
    assert "differs from the baseline's on 0.50 %" in said(rows, "recommendation")
    assert "wild 20.00 % and close 99.50 %" in said(rows, "accuracy")


def test_without_any_accuracy_speed_decides_and_says_so() -> None:
    """Where nothing is known about accuracy, the recommendation says to check it first."""
    rows = rows_of(BASE | {"x": {8: 60}})
    assert "its accuracy was not measured, so check it first" in said(rows, "recommendation")
    assert "Accuracy was not measured" in said(rows, "limits")
    assert "accuracy" not in topics(rows)


def test_an_accuracy_without_the_baselines_is_told() -> None:
    """It was measured, and there is nothing to hold it against."""
    rows = rows_of(BASE | {"x": {8: 60}}, accuracy_top1={"x": 90.0})
    assert "its top-1 is 90.00 %, and the baseline's is not known" in said(rows, "recommendation")


def test_only_failures() -> None:
    """A run in which nothing ran has reasons and no figures."""
    rows = broken("baseline", [1, 8], Status.FAILED, "boom") + broken("x", [1], Status.SKIPPED, "")
    assert topics(rows) == {"missing"}
    assert said(rows, "missing") == (
        "baseline at batches 1 and 8 failed: boom.\nx at batch 1 was skipped: no reason given."
    )


def test_a_single_row() -> None:
    """One row is told as what it is, without a comparison."""
    rows = rows_of({"x": {4: 12}})
    assert said(rows, "throughput") == (
        "At batch 4, x is fastest with 12.0 images/s; no other recipe was timed there."
    )
    assert said(rows, "recommendation").startswith("Deploy x: 12.0 images/s at batch 4; its accuracy")
    assert "No baseline was measured at batch 4" in said(rows, "limits")


def test_no_rows() -> None:
    """Nothing is said about nothing."""
    assert analyse([]) == []


def test_no_effect_is_told_with_its_reason() -> None:
    """Recipes that were seen to change nothing are named together, once per reason."""
    rows = rows_of(
        BASE | {"x": {1: 20, 8: 30}, "y": {8: 30}}, effect=dict.fromkeys("xy", "none: one layer only")
    )
    assert said(rows, "effect") == "x and y had no effect here: one layer only."


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
    assert "Batch 8 is enough for 95 % of the best throughput of z, the largest measured" in scaling
    assert "Batch 8 is enough for 95 % of the best throughput of baseline." in scaling
    assert "Batch 32 is enough for 95 % of the best throughput of y, the largest measured" in scaling
    assert (
        "x gets slower with larger batches: 50.0 images/s at batch 1, but 30.0 images/s at batch 32"
        in scaling
    )


def test_slower_with_larger_batches_is_beyond_the_noise() -> None:
    """Where the intervals of the best batch size and of the largest overlap, nothing is said to get slower."""
    rows = rows_of({"x": {1: 50, 8: 40}})

    def within(half: float) -> list[Row]:
        return [
            row.model_copy(update={"throughput_ci_low": speed - half, "throughput_ci_high": speed + half})
            for row, speed in zip(rows, (50.0, 40.0), strict=True)
        ]

    assert "x gets slower" in said(within(4), "scaling")
    assert "x gets slower" not in said(within(6), "scaling")


def test_the_headline_says_how_sure_its_speed_up_is() -> None:
    """The interval of the speed-up stands beside it, where there is one."""
    base, row = rows_of({"baseline": {8: 30}, "x": {8: 90}})
    sure = row.model_copy(update={"speedup_ci_low": 1.5, "speedup_ci_high": 6.25, "verdict": "faster"})
    assert recommendation_of([base, sure]).startswith(
        "Deploy x: 90.0 images/s at batch 8, 3.00x the baseline (1.50x to 6.25x with 95 % confidence); its accuracy"
    )


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
        caveats={"x": ("The format is old.",)},
    )
    start = said(rows, "start")
    assert "Longest build: x with 64 s." in start  # from one process each: whether it pays isn't known
    paid = [row.model_copy(update={"break_even_images": 7668}) if row.recipe == "x" else row for row in rows]
    assert "Longest build: x with 64 s, paid back after 7668 images at batch 8." in said(paid, "start")
    assert "Slowest first inference: x with 8.0 s at batch 8, 40 times its median" in start
    assert "1.0 s with baseline, 30 s with x" in start
    assert said(rows, "caveats") == "x: The format is old."
    assert "Note: The format is old." in said(rows, "recommendation")


def test_deprecated_and_bound_formats_are_told_apart() -> None:
    """What is deprecated comes first, then what runs only where it was built, then what else there is to know."""
    rows = rows_of(
        BASE | {"x": {8: 40}, "y": {8: 40}, "z": {8: 40}},
        caveats={"x": ("Mind the gap.",), "y": ("Bound to this CPU.",), "z": ("The format is deprecated.",)},
    )
    assert said(rows, "deprecation") == "A deprecated format, z: The format is deprecated."
    assert said(rows, "portability") == "Not portable, y: Bound to this CPU."
    order = [one.topic for one in analyse(rows) if one.topic in ("caveats", "deprecation", "portability")]
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


def test_disturbed_rows_are_told() -> None:
    """Rows measured under disturbance are named, in the recommendation too."""
    rows = derive([timed("baseline", 8, 30), timed("x", 8, 60, stable=False, disturbance="a backup ran")])
    assert "with care: x at batch 8" in said(rows, "limits")
    assert "a backup ran" in said(rows, "limits")
    assert "disturbed" in said(rows, "recommendation")


def test_calls_that_were_left_out_are_told() -> None:
    """The row that lost most, by its share."""
    rows = derive([timed("baseline", 8, 30, left_out=0.05), timed("x", 8, 60, left_out=0.124)])
    assert "Left out of every figure were up to 12 % of the calls of x at batch 8" in said(rows, "limits")
    assert "Left out" not in said(derive([timed("baseline", 8, 30, left_out=0.004)]), "limits")


def test_what_makes_processes_differ_is_told() -> None:
    """Memory that they take anew, where that explains most of it; a recipe whose processes are alike is not named."""
    faults = (4000.0, 6000.0, 8000.0, 10000.0, 12000.0)
    times = ((35.0,), (37.4,), (40.1,), (42.4,), (45.0,))
    alike = {"samples_ms": ((10.0,), (10.1,), (9.9,), (10.0,), (10.2,)), "page_faults": (300.0,) * 5}

    def told(*page_faults: float | None) -> str:
        forgetful = record(samples_ms=times, page_faults=page_faults, batch_size=8)
        return said(derive([forgetful, record(recipe="x", batch_size=8, **alike)]), "limits")

    assert (
        "At batch 8 processes of one recipe differ by the memory that they give back to the kernel and take again at "
        "each inference: those of baseline took 4,000 to 12,000 pages, and 35.0 to 45.0 ms. A thousand pages cost "
        "1.25 ms here, which explains 100 % of how processes scatter; an allocator that keeps freed memory spares it."
    ) in told(*faults)
    assert "pages" not in told(*reversed(faults))  # slower with fewer of them
    assert "pages" not in told(*(4000.0,) * 5)
    assert "pages" not in told(8000.0, 12000.0, 4000.0, 6000.0, 10000.0)
    assert "pages" not in told(None, None, None, 4000.0, 12000.0)  # a line through two processes says nothing
    assert "pages" not in told()


def test_processes_without_turns_are_told() -> None:
    """At focus batch sizes, whether some of a recipe's processes took none or all; elsewhere there are none."""
    twice = {"samples_ms": ((10.0,) * 5, (10.0,) * 5), "rounds": (0, 1)}

    def told(
        *beside: tuple[float, ...],
        adaptive: bool = True,
        device: str = "cpu",
        base: tuple[tuple[float, ...], ...] = ((20.0,), (20.0,)),
    ) -> str:
        facts = {"batch_size": 8, "adaptive": adaptive, "device": device, **twice}
        both = record(**facts, beside_ms=base), record(recipe="x", **facts, beside_ms=beside)
        return said(derive(both), "limits")

    alone = "Some processes of x at batch 8, or all, took no turns with the baseline"
    assert alone in told((20.0,), ())
    assert alone in told((), ())
    assert alone in told()
    assert "took no turns" not in told((20.0,), (20.0,))
    own = "Some of the baseline's own processes at batch 8 took no turns"
    assert own in told((20.0,), (20.0,), base=((20.0,), ()))
    assert "took no turns" not in told((20.0,), (20.0,), adaptive=False, base=())
    assert "took no turns" not in told(adaptive=False)
    assert "took no turns" not in told(device="cuda")


def test_names_from_the_data_stay_on_one_line() -> None:
    """A recipe called with a line break or markup is plain text in one line."""
    rows = rows_of(BASE | {"<script>|\n# x": {8: 90}})
    assert all("\n" not in one.sentence for one in analyse(rows))
    assert "<script>| # x" in said(rows, "recommendation")


@given(
    st.lists(
        st.builds(
            record,
            recipe=st.sampled_from(["baseline", "a", "b"]),
            batch_size=st.sampled_from([1, 8, 32]),
            status=st.sampled_from(Status),
            samples_ms=st.sampled_from([(), ((5.0,) * 60,), ((7.0,) * 3,), ((3.0,) * 400,)]),
            accuracy_top1=st.none() | st.floats(0, 100),
            top1_agreement=st.none() | st.floats(0, 1),
            model_size_mb=st.none() | st.floats(0, 100),
            host_memory_peak_mb=st.none() | st.floats(0, 1e5),
            zero_fraction=st.none() | st.floats(0, 1),
            build_s=st.none() | st.floats(0, 1e5),
            first_inference_s=st.none() | st.floats(0, 100),
            output_sqnr_db=st.none() | st.floats(-10, 200),
            effect=st.sampled_from(["", "none:", "none: why"]),
            stable=st.none() | st.booleans(),
            environment_id=st.sampled_from(["0badcafe", "feedbeef"]),
        ),
        max_size=9,
    )
)
@settings(deadline=None)
def test_every_finding_has_evidence(records: list[object]) -> None:
    """Whatever ran or did not, the analysis ends, and each sentence points at rows of its environment that exist."""
    rows = derive(records)  # type: ignore[arg-type]
    for one in analyse(rows):
        cells = {row.key for row in rows if one.environment in ("", row.environment_id)}
        assert isinstance(one, Finding)
        assert one.evidence
        assert set(one.evidence) <= cells
        assert one.sentence.endswith(".")
        assert "None" not in one.sentence


def test_no_technique_is_named_in_the_code() -> None:
    """The report's code names no technique or engine: what it says follows from the rows."""
    names = r"compile|channels.last|bf16|\bamp\b|quantize|prun|torchscript|\bjit|onnx|openvino|tensorrt|eager"
    for path in Path(densebench.report.__file__).parent.glob("*.py"):
        code = path.read_text().replace("compile cache", "").replace("re.compile", "").replace("&amp;", "")
        assert not re.search(names, code, re.IGNORECASE), path.name


@pytest.mark.parametrize(("at_one", "chosen"), [("faster", "Deploy a:"), ("unclear", "Keep the baseline")])
def test_clear_at_one_batch_size_is_clear(at_one: str, chosen: str) -> None:
    """The fastest row may be at a batch size that was measured less closely than the one that settles it."""
    verdicts = {("a", 1): at_one, ("a", 8): "unclear"}
    rows = [
        row.model_copy(update={"verdict": verdicts.get(row.key)})
        for row in rows_of(BASE | {"a": {1: 30.0, 8: 60.0}})
    ]
    assert recommendation_of(rows).startswith(chosen)


def test_a_clear_recipe_behind_one_that_may_be_faster_is_deployed() -> None:
    """The fastest by its mean is too noisy to tell from the baseline; what comes after it isn't."""
    verdicts = {"noisy": "unclear", "sure": "faster"}
    rows = [
        row.model_copy(update={"verdict": verdicts.get(row.recipe)})
        for row in rows_of(BASE | {"noisy": {1: 40.0, 8: 90.0}, "sure": {1: 30.0, 8: 60.0}})
    ]
    told = recommendation_of(rows)
    assert told.startswith("Deploy sure: 60.0 images/s at batch 8")
    assert "noisy may be faster, with 90.0 images/s" in told
    assert "Next is" not in told
