"""Rules that have no other test, sentence by sentence; and that no rule is dead."""

from __future__ import annotations

import pytest

from densebench.record import Record, Row, Status
from densebench.report.analysis import LIMITS, PERFORMANCE, TRADE_OFFS
from densebench.report.cost import file_size, memory
from densebench.report.html.tiles import Tile, tiles
from densebench.report.quality import accuracy, fidelity
from densebench.report.recommendation import choose
from densebench.report.reliability import no_turns, unfinished, wide
from densebench.report.stalls import stalls
from densebench.report.sweep import Rule, Sweep
from densebench.rows import derive
from tests.factory import broken, record, rows_of, timed
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


def test_a_run_that_ended_before_its_rounds_says_so() -> None:
    """Three rounds, five at focus batch sizes; nothing where it isn't known how many there were to be."""
    few = {"rounds": (0, 1), "samples_ms": ((10.0,),) * 2}
    all_of_it = {"rounds": (0, 1, 2), "samples_ms": ((10.0,),) * 3}
    rows = derive(
        [record(**all_of_it), record(recipe="x", **few), record(recipe="y", adaptive=True, **all_of_it)]
    )
    (found,) = unfinished(Sweep(tuple(rows), rounds=3))
    assert found.sentence.startswith("The run ended before 2 of 3 rows had all their rounds")
    assert found.evidence == (("x", 1), ("y", 1))
    assert not list(unfinished(Sweep(tuple(rows))))


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


@pytest.mark.parametrize("size", [1, 8])
def test_no_turns_of_the_baseline(size: int) -> None:
    """Only at batch sizes where others took turns; at those where nobody did there is nothing to compare with."""
    facts = {"samples_ms": ((10.0,) * 5, (10.0,) * 5), "rounds": (0, 1), "adaptive": True}
    nobody, some, both = ((), ()), ((20.0,), ()), ((20.0,), (20.0,))
    rows = derive(
        record(recipe=recipe, batch_size=each, beside_ms=beside if each == size else nobody, **facts)
        for recipe, beside in (("baseline", some), ("x", both))
        for each in (1, 8)
    )
    own, _ = said(no_turns, rows)
    assert own.startswith(f"Some of the baseline's own processes at batch {size} took no turns")


def test_tiles() -> None:
    """The recommended row's figures beside the baseline's at the same batch size, where they are known."""
    rows = rows_of(
        BASE | {"x": {8: 60}},
        accuracy_top1={"baseline": 99.0, "x": 98.75},
        model_size_mb={"baseline": 32.0, "x": 16.0},
        build_s={"x": 64.0},
    )
    sweep = Sweep(tuple(rows))
    assert tiles(sweep, choose(sweep)) == [
        Tile("throughput", "60.0", "images/s", "30.0"),
        Tile("median latency of a batch", "133", "ms", "267"),
        Tile("top-1", "98.75", "%", "99.00"),
        Tile("size on disk", "16.0", "MB", "32.0"),
        Tile("build", "64 s", "", ""),
    ]
    assert tiles(sweep, None) == []


def turned(recipe: str, own_ms: list[float]) -> Record:
    """Three processes in turns of one call with the baseline, whose calls take 200 ms."""
    scattered = [tuple(slow * ms for ms in own_ms) for slow in (0.99, 1.0, 1.01)]
    return record(
        recipe=recipe,
        batch_size=2,
        samples_ms=scattered,
        beside_ms=[(200.0,) * len(own_ms)] * 3,
        turns=[((1, 1),) * len(own_ms)] * 3,
        rounds=(0, 1, 2),
    )


def test_a_model_whose_calls_stall_now_and_then_is_told_of() -> None:
    """Its usual turns say twice the speed, mean times a third of it; whoever stalls is named."""
    steady, stalling = [200.0] * 6, [100.0] * 5 + [3000.0]
    (sentence,) = said(stalls, derive([turned("baseline", steady), turned("x", stalling)]))
    assert sentence.startswith("By mean times the speed-up of x at batch 2 is 0.3")
    assert "not the 2.00x of its usual turns: now and then calls of x take much longer" in sentence
    (sentence,) = said(stalls, derive([turned("baseline", stalling), turned("x", steady)]))
    assert "calls of the baseline take much longer" in sentence
    assert said(stalls, derive([turned("baseline", steady), turned("x", [100.0] * 6)])) == []


def of_all_kinds() -> list[Row]:
    """A run in which there is something to say on every matter."""
    counted = {"precision": "float32", **COUNTED}
    records = [
        timed("baseline", 1, 20, accuracy_top1=99.0, model_size_mb=32.0, **counted),
        timed("baseline", 8, 30, accuracy_top1=99.0, model_size_mb=32.0, **counted),
        timed("baseline", 32, 29, accuracy_top1=99.0, host_memory_peak_mb=700.0, left_out=0.1),
        timed("good", 1, 25, accuracy_top1=98.8, output_sqnr_db=40.0, build_s=30.0, model_size_mb=16.0),
        timed("good", 8, 60, accuracy_top1=98.8, **counted),
        timed("good", 32, 30, accuracy_top1=98.8, host_memory_peak_mb=500.0),
        timed("wild", 8, 90, accuracy_top1=90.0, output_sqnr_db=10.0, stable=False, caveats=("Mind it.",)),
        timed("slow", 8, 20, zero_fraction=0.3, effect="none: why", top1_agreement=0.5),
        timed("same", 8, 30, accuracy_top1=99.0),
        timed("noisy", 8, 50, accuracy_top1=99.0),
        timed("alone", 16, 10, accuracy_top1=99.0),
        record(recipe="looked at", batch_size=8, samples_ms=((100.0,),), rounds=(0,), adaptive=True),
        turned("baseline", [200.0] * 6),
        turned("stalling", [100.0] * 5 + [3000.0]),
        record(
            recipe="forgetful",
            batch_size=16,
            samples_ms=((4000.0,), (4500.0,), (5000.0,), (5600.0,)),
            page_faults=(1000.0, 6000.0, 11000.0, 16000.0),
        ),
    ]
    unclear = {"verdict": "unclear", "adaptive": True, "speedup_ci_low": 0.8, "speedup_ci_high": 3.5}
    rows = [row.model_copy(update=unclear) if row.recipe == "noisy" else row for row in derive(records)]
    return rows + broken("gone", [8], Status.SKIPPED, "why")


@pytest.mark.parametrize("rule", [*PERFORMANCE, *TRADE_OFFS, *LIMITS], ids=lambda rule: rule.__qualname__)
def test_no_rule_is_dead(rule: Rule) -> None:
    """Each has a sentence on rows that it is made for."""
    assert list(rule(Sweep(tuple(of_all_kinds()), ceilings=CEILINGS, rounds=3)))


def test_wide_intervals_at_focus_batch_sizes() -> None:
    """Those that more rounds would have been for; not a tenth of a large effect, nor where no more were meant."""
    base, *others = rows_of(
        {"baseline": {8: 20.0}, "a": {8: 22.0}, "b": {8: 40.0}, "large": {8: 160.0}, "fixed": {8: 40.0}}
    )
    ends = {"a": (1.0, 1.21), "b": (1.5, 2.666), "large": (7.0, 9.14), "fixed": (1.5, 2.666)}
    rows = [base.model_copy(update={"adaptive": True})]
    for row in others:
        low, high = ends[row.recipe]
        adaptive = row.recipe != "fixed"
        rows.append(
            row.model_copy(update={"adaptive": adaptive, "speedup_ci_low": low, "speedup_ci_high": high})
        )
    (sentence,) = said(wide, rows)
    assert sentence == (
        "Further rounds ended before the speed-ups of a at batch 8; b at batch 8 were known to a tenth of the "
        "effect, or to 2 %: their 95 % intervals are ±10 to ±33 %. A longer --focus-time narrows them."
    )
    assert said(wide, rows[:1]) == []
    assert "of b at batch 8 were" in next(wide(Sweep(tuple(rows), precision_target=11.0))).sentence
    assert "are ±33 %" in next(wide(Sweep(tuple(rows), precision_target=11.0))).sentence
