"""Rows from records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from densebench.results.columns import COLUMNS
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.results.record import Record, Row, recipes_in_order
from tests.factory import record, timed

CONTRACT = """
model, recipe, steps, batch_size, device, status, reason, latency_mean_ms, latency_p50_ms,
latency_p90_ms, latency_p95_ms, latency_p99_ms, throughput_samples_per_s, throughput_ci_low,
throughput_ci_high, speedup, speedup_ci_low, speedup_ci_high, verdict, samples, processes, stable,
host_memory_floor_mb, host_memory_peak_mb, vram_peak_mb, vram_driver_peak_mb, model_size_mb,
parameters, macs_g, zero_fraction, accuracy_top1, accuracy_top5, accuracy_drop_pp,
accuracy_drop_ci_high_pp, top1_agreement, output_sqnr_db, effect, build_s, load_s,
first_inference_s, cold_start_s, deploy_start_s, deploy_memory_mb, deploy_throughput_samples_per_s,
break_even_images, roofline_fraction, energy_j_per_image,
image_size, weights, data, threads, seed, environment_id, interference, artifact, started_at
"""

CELLS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([1, 8]), st.floats(0.1, 1e4)), max_size=20)


def test_columns_are_the_contracts() -> None:
    """The one table names the contract's columns in the contract's order, each of them a field of the row."""
    names = CONTRACT.replace("\n", " ").strip().split(", ")
    assert [column.name for column in COLUMNS] == names
    assert set(names) <= set(Row.model_fields)


@given(CELLS)
def test_last_record_of_a_cell_counts(cells: list[tuple[str, int, float]]) -> None:
    """A cell measured again takes the newer figures; rows stand recipe by recipe, small batches first."""
    rows = derive(timed(recipe, size, speed) for recipe, size, speed in cells)
    newest = {(recipe, size): speed for recipe, size, speed in cells}
    seen = list(dict.fromkeys(recipe for recipe, _, _ in cells))
    assert [row.key for row in rows] == sorted(newest, key=lambda key: (seen.index(key[0]), key[1]))
    assert [row.throughput_samples_per_s for row in rows] == pytest.approx([newest[row.key] for row in rows])


@given(CELLS)
def test_rows_are_as_many_as_cells(cells: list[tuple[str, int, float]]) -> None:
    """No cell vanishes and none is made up, whatever the order."""
    rows = derive(record(recipe=recipe, batch_size=size) for recipe, size, _ in cells)
    assert {row.key for row in rows} == {(recipe, size) for recipe, size, _ in cells}
    assert len(rows) == len({row.key for row in rows})


def test_speedup_is_against_the_baseline_of_the_same_batch_size() -> None:
    """A row is compared with the baseline at its own batch size only."""
    rows = derive([timed("baseline", 1, 20), timed("baseline", 8, 30), timed("a", 8, 60), timed("a", 16, 60)])
    by_cell = {row.key: row.speedup for row in rows}
    assert by_cell["a", 8] == pytest.approx(2)
    assert by_cell["baseline", 1] == pytest.approx(1)
    assert by_cell["a", 16] is None


def test_failed_baseline_is_no_baseline() -> None:
    """Nothing is compared with a baseline that did not run."""
    failed = timed("baseline", 1, 20, status=Status.FAILED, reason="boom")
    assert derive([failed, timed("a", 1, 40)])[1].speedup is None


def test_break_even_is_the_longer_build_over_the_time_saved() -> None:
    """100 s of further building at 10 ms saved an image are 10,000 images; who may save none never breaks even."""

    def seen(recipe: str, *speeds: float, build_s: float | None) -> Record:
        samples = tuple((8000 / speed,) * 60 for speed in speeds)
        return record(recipe=recipe, batch_size=8, samples_ms=samples, build_s=build_s)

    rows = derive(
        [
            seen("baseline", 50, 50, 50, build_s=1.0),
            seen("a", 100, 100, 100, build_s=101.0),
            seen("b", 51, 51, 51, build_s=2.0),  # within 3 %
            seen("c", 100, 100, 100, build_s=None),
            seen("d", 100, 100, 100, build_s=0.5),
            seen("e", 40, 100, 200, build_s=2.0),  # its interval holds 1
            seen("f", 100, build_s=2.0),  # it has none
        ]
    )
    assert [row.break_even_images for row in rows] == [None, 10_000, None, None, 0, None, None]


def test_accuracy_drop_is_positive_for_a_loss() -> None:
    """Losing top-1 against the baseline is a positive drop, in percentage points."""
    rows = derive([timed("baseline", 1, 1, accuracy_top1=99.0), timed("a", 1, 1, accuracy_top1=97.5)])
    assert rows[1].accuracy_drop_pp == pytest.approx(1.5)


def test_accuracy_drop_needs_no_baseline_that_could_be_timed() -> None:
    """It was evaluated before, and its failed rows still tell how."""
    baseline = record(status=Status.FAILED, reason="too slow", accuracy_top1=99.0)
    assert derive([baseline, timed("a", 32, 1, accuracy_top1=98.0)])[1].accuracy_drop_pp == pytest.approx(1)


def test_accuracy_drop_needs_no_baseline_at_that_batch_size() -> None:
    """Accuracy belongs to the recipe, so a batch size where the baseline failed still has its drop."""
    baseline = timed("baseline", 1, 1, accuracy_top1=99.0)
    assert derive([baseline, timed("a", 32, 1, accuracy_top1=98.0)])[1].accuracy_drop_pp == pytest.approx(1)


def test_samples_and_processes_are_counted() -> None:
    """Samples of all processes count together, and the processes are told."""
    row = derive([record(samples_ms=((1.0, 2.0), (3.0,)))])[0]
    assert (row.samples, row.processes, row.latency_mean_ms) == (3, 2, 2.0)


def test_text_of_a_figure() -> None:
    """Unmeasured figures are blank, booleans lower case, figures as precise as their column says."""
    texts = {c.name: c.text(derive([timed("a", 1, 3, stable=True)])[0]) for c in COLUMNS}
    assert (texts["stable"], texts["vram_peak_mb"], texts["status"]) == ("true", "", "ok")
    assert texts["throughput_samples_per_s"] == "3.000"


def test_records_refuse_what_they_do_not_know() -> None:
    """A misspelt field or a figure that is no number is refused, not kept."""
    with pytest.raises(ValidationError):
        record(trhoughput=1)
    with pytest.raises(ValidationError):
        record(load_s=float("nan"))


def test_recipes_in_order() -> None:
    """Recipes come in the order of their first row."""
    assert recipes_in_order(derive([timed("b", 1, 1), timed("a", 1, 1), timed("b", 2, 1)])) == ["b", "a"]
