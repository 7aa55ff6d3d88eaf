"""Rules that have no other test, sentence by sentence; and that no rule is dead."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from densebench.report.analysis import LIMITS, PERFORMANCE, TRADE_OFFS
from densebench.report.cost import file_size, memory, own_throughput, start_up
from densebench.report.html.tiles import Tile, tiles
from densebench.report.quality import accuracy, fidelity
from densebench.report.reliability import added_rounds, fewer_images, power_limit, unfinished, wide
from densebench.report.sweep import Rule, Sweep
from densebench.results.ceilings import raised
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.results.record import Record, Row
from densebench.schema import Caveat, Effect
from tests.factory import broken, confirmed, record, rounded, rows_of, timed
from tests.report.html.shapes import CEILINGS, COUNTED

BASE = {"baseline": {1: 20.0, 8: 30.0}}


def said(rule: Rule, rows: list[Row]) -> list[str]:
    """The sentences of one rule."""
    return [one.sentence for one in rule(Sweep(tuple(rows)))]


def test_fidelity() -> None:
    """Whose logits moved furthest, with the guesses that stayed, and whose least."""
    rows = rows_of(
        BASE | {"x": {8: 60}, "y": {8: 60}, "z": {8: 60}},
        output_sqnr_db={"x": 41.26, "y": 12.0, "z": 30.0},
        top1_agreement={"y": 0.9712},
    )
    (sentence,) = said(fidelity, rows)
    assert sentence == (
        "The logits are furthest from the baseline's with y (12.0 dB signal to noise and 97.12 % of the first "
        "guesses unchanged) and closest with x (41.3 dB)."
    )
    rows += rows_of({"jit": {8: 60}}, top1_agreement={"jit": 1.0})
    (sentence,) = said(fidelity, rows)
    assert sentence.endswith("closest with x (41.3 dB); no difference was seen with jit.")


def in_rounds(recipe: str, count: int, ms: float = 10.0, **facts: Any) -> Record:
    """So many rounds of one process each, in pairs with a reference process that takes 20 ms."""
    return record(recipe=recipe, pairs=[[((ms,) * 5, (20.0,))]] * count, **facts)


def test_a_run_that_ended_before_its_rounds_says_so() -> None:
    """Three rounds, six at focus batch sizes; nothing where it isn't known how many there were to be."""
    alone = {"samples_ms": ((10.0,),) * 3}
    rows = derive([record(**alone), in_rounds("x", 2), in_rounds("y", 3), in_rounds("z", 6)])
    (found,) = unfinished(Sweep(tuple(rows), rounds=3))
    assert found.sentence.startswith("The run ended before 1 of 4 rows had all their rounds")
    assert found.evidence == (("x", 1),)
    (found,) = unfinished(Sweep(tuple(rows), rounds=3, focus_rounds=6, focus_batch_sizes=(1,)))
    assert found.evidence == (("x", 1), ("y", 1)), "what is emulated has no pairs, and three rounds"
    assert not list(unfinished(Sweep(tuple(rows))))


def test_rounds_that_were_added_are_told() -> None:
    """Of the rows that have more than the run began with; a first run's rounds are nobody's choice."""
    rows = tuple(derive([in_rounds("baseline", 12), in_rounds("x", 12), in_rounds("y", 6)]))
    asked = Sweep(rows, rounds=3, focus_rounds=12, focus_batch_sizes=(1,))
    (found,) = added_rounds(replace(asked, rounds_at_first=6))
    assert found.sentence.startswith(
        "Rounds were added to baseline at batch 1; x at batch 1 after intervals had"
    )
    assert "intervals that are too narrow" in found.sentence
    assert list(added_rounds(asked)) == []
    assert list(added_rounds(replace(asked, rounds_at_first=12))) == []


def test_accuracy_that_may_be_lost() -> None:
    """Within the limit as measured, beyond it by what so few images can rule out."""
    rows = [
        row.model_copy(update={"accuracy_drop_ci_high_pp": 2.345} if row.recipe == "x" else {})
        for row in rows_of(BASE | {"x": {8: 60}}, accuracy_top1={"baseline": 99.0, "x": 98.5})
    ]
    (sentence,) = said(accuracy, rows)
    assert sentence == (
        "The baseline's top-1 is 99.00 %. May lose more than 1 percentage point, too few images to tell with "
        "95 % confidence: x (-0.50, up to 2.35 lost)."
    )


def test_no_file_is_smaller() -> None:
    """Where the baseline's is the smallest, and who is larger."""
    rows = rows_of(BASE | {"x": {8: 60}}, model_size_mb={"baseline": 32.0, "x": 40.0})
    assert said(file_size, rows) == [
        "No file is smaller than the baseline's 32.0 MB.",
        "Larger than the baseline's 32.0 MB: x (40.0 MB).",
    ]


def test_memory_of_a_gpu() -> None:
    """The driver's figure, at the largest batch size that two recipes share, and no framework's floor."""
    rows = rows_of(
        BASE | {"x": {8: 60}, "y": {8: 60}},
        vram_driver_peak_mb={"baseline": 900.0, "x": 700.0, "y": 1500.0},
        host_memory_floor_mb={"x": 400.0},
    )
    assert said(memory, rows) == [
        "Peak GPU memory at batch 8: least with x, 700 MB, 900 MB for the baseline; most with y, 1500 MB."
    ]


def test_tiles() -> None:
    """The recommended row's figures beside the baseline's at the same batch size, where they are known."""
    rows = rows_of(
        BASE | {"x": {8: 60}},
        rounded,
        accuracy_top1={"baseline": 99.0, "x": 98.75},
        model_size_mb={"baseline": 32.0, "x": 16.0},
        build_s={"x": 64.0},
    )
    sweep = Sweep(tuple(rows), confirmation=confirmed(rows))
    assert tiles(sweep, sweep.chosen) == [
        Tile("throughput", "60.0", "images/s", "30.0"),
        Tile("median latency of a batch", "133", "ms", "267"),
        Tile("top-1", "98.75", "%", "99.00"),
        Tile("size on disk", "16.0", "MB", "32.0"),
        Tile("build", "64 s", "", ""),
    ]
    assert tiles(sweep, None) == []


def of_all_kinds() -> list[Row]:
    """A run in which there is something to say on every matter."""
    counted = {"precision": "float32", **COUNTED}
    records = [
        timed("baseline", 1, 20, accuracy_top1=99.0, model_size_mb=32.0, **counted),
        rounded("baseline", 8, 30, accuracy_top1=99.0, model_size_mb=32.0, **counted),
        timed("baseline", 32, 29, accuracy_top1=99.0, host_memory_peak_mb=700.0, left_out=0.1),
        timed("good", 1, 25, accuracy_top1=98.8, output_sqnr_db=40.0, build_s=30.0, model_size_mb=16.0),
        rounded(
            "good",
            8,
            60,
            accuracy_top1=98.8,
            deploy_batch_size=8,
            deploy_throughput_samples_per_s=30,
            **counted,
        ),
        timed("good", 32, 30, accuracy_top1=98.8, host_memory_peak_mb=500.0),
        rounded(
            "wild",
            8,
            90,
            accuracy_top1=90.0,
            output_sqnr_db=10.0,
            stable=False,
            caveats=(Caveat(text="Mind it."),),
        ),
        timed("slow", 8, 20, zero_fraction=0.3, effect=Effect(none_because="why"), top1_agreement=0.5),
        timed("same", 8, 30, accuracy_top1=99.0, steps="engine", precision="float32"),
        timed("small", 8, 35, accuracy_top1=99.0, steps="engine:precision=int8", precision="int8"),
        timed("noisy", 8, 50, accuracy_top1=99.0),
        timed("alone", 16, 10, accuracy_top1=99.0),
        timed("baseline", 64, 30, accuracy_top1=99.0, correct_top1="1", validation_images=9),
        timed("capped", 16, 10, device="cuda", power_limited=True),
        in_rounds("baseline", 4, 200.0, batch_size=2),
        record(
            recipe="noisy",
            batch_size=2,
            pairs=[[((ms,), (20.0,))] for ms in (150.0, 200.0, 260.0)],
            rounds=(0, 1, 2),
        ),
        record(recipe="alone", batch_size=2, samples_ms=((200.0,),) * 3),
        record(recipe="forgetful", batch_size=16, samples_ms=((4000.0,),), page_faults=(16000.0,)),
    ]
    unclear = {"verdict": "unclear", "speedup_ci_low": 0.8, "speedup_ci_high": 3.5}
    rows = [row.model_copy(update=unclear) if row.key == ("noisy", 8) else row for row in derive(records)]
    above = timed("above", 128, 5, precision="int8", macs_g=200.0, accuracy_top1=99.0)
    return [*rows, *derive([above]), *broken("gone", [8], Status.SKIPPED, "why")]


@pytest.mark.parametrize("rule", [*PERFORMANCE, *TRADE_OFFS, *LIMITS], ids=lambda rule: rule.__qualname__)
def test_no_rule_is_dead(rule: Rule) -> None:
    """Each has a sentence on rows that it is made for."""
    rows = of_all_kinds()
    sweep = Sweep(tuple(rows), confirmation=confirmed(rows), ceilings=raised(CEILINGS, rows), rounds=3)
    assert list(rule(replace(sweep, focus_rounds=4, focus_batch_sizes=(2,), rounds_at_first=3)))


def test_a_card_at_its_power_limit_is_told_of_once() -> None:
    """As a limit of the run: throughout, or while some rows ran; a card that is not has no such sentence."""
    capped = {"device": "cuda", "power_limited": True}
    rows = derive([timed("baseline", 1, 10, **capped), timed("a", 1, 20, **capped)])
    assert all(row.stable is None and not row.interference for row in rows)
    (sentence,) = said(power_limit, rows)
    assert sentence.startswith("The GPU ran at its power limit throughout: ")
    (sentence,) = said(power_limit, [*rows, *derive([timed("b", 8, 20, device="cuda")])])
    assert "at its power limit while baseline at batch 1; a at batch 1 ran" in sentence
    assert said(power_limit, derive([timed("b", 8, 20, device="cuda")])) == []


def test_accuracy_of_a_part_of_the_images_is_told() -> None:
    """How many of how many, and what all would have taken; nothing where all were seen."""
    facts = {"accuracy_top1": 75.0, "correct_top1": "1110" * 300, "validation_images": 50_000}
    rows = derive([timed("baseline", 8, 30, all_images_s=700.0, **facts), timed("x", 8, 60, **facts)])
    assert said(fewer_images, rows) == [
        "Accuracy is measured on 1,200 of 50,000 images (the same for every recipe): all would take about 12 min."
    ]
    asked_for = [row.model_copy(update={"all_images_s": None}) for row in rows]
    assert said(fewer_images, asked_for) == [
        "Accuracy is measured on 1,200 of 50,000 images (the same for every recipe)."
    ]
    assert said(fewer_images, [row.model_copy(update={"validation_images": 1200}) for row in rows]) == []
    assert said(fewer_images, [row.model_copy(update={"validation_images": None}) for row in rows]) == []


def test_wide_intervals_at_focus_batch_sizes() -> None:
    """Wider than the target, with the rounds that would meet it; nowhere else, and not the baseline's own."""
    scatter = {"a": 0.02, "b": 0.2, "narrow": 0.001}
    records = [in_rounds("baseline", 6), rounded("a", 8, 10.0, 0.5), rounded("baseline", 8, 10.0)]
    for name, each in scatter.items():
        ms = [10 * math.exp(way * each) for way in (-1, -0.5, 0, 0, 0.5, 1)]
        records.append(record(recipe=name, pairs=[[((one,), (20.0,))] for one in ms], rounds=range(6)))
    sweep = Sweep(
        tuple(derive(records)), rounds=3, focus_rounds=6, focus_batch_sizes=(1,), precision_target=1.0
    )
    (found,) = wide(sweep)
    assert found.sentence == (
        "The 95 % intervals of a at batch 1; b at batch 1 are ±1.5 to ±16 %, wider than the ±1.0 % of "
        "--precision-target. If rounds go on to scatter like these, about 11 rounds would make 1 of these 2 as "
        "narrow: --resume --focus-rounds N adds rounds."
    )
    (found,) = wide(replace(sweep, precision_target=2.0))
    assert found.evidence == (("b", 1),)
    assert "of b at batch 1 are ±16 %, wider than the ±2.0 %" in found.sentence
    (found,) = wide(replace(sweep, precision_target=0.1))
    assert "like these, no sensible number of rounds makes them as narrow." in found.sentence
    (found,) = wide(replace(sweep, precision_target=10.0))
    assert "about 11 rounds would make them as narrow" in found.sentence
    assert not list(wide(replace(sweep, precision_target=20.0)))
    assert not list(wide(replace(sweep, focus_batch_sizes=())))


OWN = {"deploy_batch_size": {"baseline": 1, "x": 1, "y": 1}}


def test_programs_of_ones_own_are_compared_where_they_were_run() -> None:
    """Their start and memory in place of those of measuring processes, which all hold one framework."""
    rows = rows_of(
        BASE | {"x": {8: 60}, "y": {8: 60}},
        host_memory_peak_mb={"baseline": 700.0, "x": 690.0, "y": 710.0},
        cold_start_s={"baseline": 1.0, "x": 0.5, "y": 2.0},
        deploy_memory_mb={"baseline": 620.0, "x": 150.4, "y": 1100.0},
        deploy_start_s={"baseline": 4.0, "x": 1.1, "y": 6.3},
        **OWN,
    )
    (sentence,) = said(memory, rows)
    assert sentence == (
        "Peak memory of a program of your own at batch 1: least with x, 150 MB, 620 MB for the baseline; most with "
        "y, 1100 MB."
    )
    assert said(start_up, rows) == [
        "Start to first answer in a program of your own: 1.1 s with x, 6.3 s with y."
    ]


def test_programs_at_another_batch_size_are_not_compared() -> None:
    """A resume with other batch sizes may have run some there."""
    rows = rows_of(
        BASE | {"x": {8: 60}, "y": {8: 60}},
        deploy_memory_mb={"baseline": 620.0, "x": 150.0, "y": 1100.0},
        deploy_batch_size={"baseline": 1, "x": 1, "y": 8},
    )
    assert said(memory, rows) == [
        "Peak memory of a program of your own at batch 1: least with x, 150 MB; most with baseline, 620 MB."
    ]


def test_throughput_of_programs_that_differs_from_the_rows() -> None:
    """By more than a fifth, at the batch size that they were run at; nothing where all agree."""
    speeds = BASE | {"x": {1: 40, 8: 60}, "y": {1: 40, 8: 60}}
    rows = rows_of(speeds, deploy_throughput_samples_per_s={"baseline": 19.0, "x": 30.0, "y": 60.0}, **OWN)
    (sentence,) = said(own_throughput, rows)
    assert sentence == (
        "In a program of its own, x serves 30.0 images/s at batch 1, against 40.0 measured here; y serves 60.0 "
        "images/s at batch 1, against 40.0 measured here."
    )
    agreeing = {"baseline": 19.0, "x": 41.0, "y": 45.0}
    assert said(own_throughput, rows_of(speeds, deploy_throughput_samples_per_s=agreeing, **OWN)) == []
