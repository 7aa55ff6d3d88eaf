"""Scalars and hparams, read back from the files and over TensorBoard's own HTTP interface."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from densebench.results.columns import COLUMNS
from densebench.results.derive import derive
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.sinks.event_file import event_files
from densebench.sinks.tensorboard import MEASURED, TensorBoardSink, tag_of
from tests.factory import broken, rows_of, timed
from tests.tensorboards import ask, server

ROWS = [
    *rows_of(
        {"baseline": {1: 20, 8: 30}, "a+b:c=1": {1: 40, 8: 60}},
        accuracy_top1={"baseline": 99.0, "a+b:c=1": 98.5},
        host_memory_peak_mb={"baseline": 500.0},
    ),
    *broken("broken", [1], Status.FAILED, "boom"),
]


def write(folder: Path, rows: list[Row]) -> None:
    """All rows through one sink."""
    sink = TensorBoardSink(folder)
    for row in rows:
        sink.row(row)
    sink.close()


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of every scalar in one run's own files."""
    found = []
    for path in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(path)).Load():
            found += [
                (value.tag, event.step, value.tensor.float_val[0])
                for value in event.summary.value
                if value.metadata.plugin_data.plugin_name == "scalars"
            ]
    return found


def one_tag(page: Any) -> str:
    """What the chart of the throughput asks for."""
    charts = [chart for group in page["category"] for chart in group["chart"]]
    (tag,) = next(chart for chart in charts if "images a second" in chart["title"])["multiline"]["tag"]
    return str(tag)


def test_a_real_tensorboard_lists_the_scalars(tmp_path: Path) -> None:
    """TensorBoard started on the folder offers the runs, scalars, hparams sessions and a chart per figure."""
    write(tmp_path, ROWS)
    with server(tmp_path) as address:
        deadline = time.monotonic() + 40
        tags: dict[str, Any] = {}
        while not {"baseline", "a_b_c_1"} <= set(tags) and time.monotonic() < deadline:
            tags = ask(address, "/data/plugin/scalars/tags")
            time.sleep(0.2)
        assert {"latency/mean_ms", "throughput/samples_per_s", "accuracy/top1"} <= set(tags["a_b_c_1"])
        points = ask(address, "/data/plugin/scalars/scalars?tag=throughput%2Fsamples_per_s&run=a_b_c_1")
        assert [(step, round(value)) for _, step, value in points] == [(1, 40), (8, 60)]
        query = {"experimentName": "", "colParams": [], "startIndex": 0, "sliceSize": 10}
        query["allowedStatuses"] = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
        asked: Any = None
        while (not asked or len(asked["sessionGroups"]) < len(ROWS)) and time.monotonic() < deadline:
            asked = ask(address, "/data/plugin/hparams/session_groups", query)
            time.sleep(0.2)
        page = ask(address, "/data/plugin/custom_scalars/layout")
        drawn = ask(
            address,
            "/data/plugin/custom_scalars/scalars?" + urlencode({"run": "a_b_c_1", "tag": one_tag(page)}),
        )
    charts = {
        chart["title"]: chart["multiline"]["tag"] for group in page["category"] for chart in group["chart"]
    }
    had = {one for one in MEASURED if any(getattr(row, one.name) is not None for row in ROWS)}
    assert len(charts) == len(had)  # a chart for each figure that a row has, and for no other
    assert drawn["regex_valid"]
    assert {tag: len(points) for tag, points in drawn["tag_to_events"].items()} == {
        "throughput/samples_per_s": 2
    }
    sessions = {
        (group["hparams"]["recipe"], group["hparams"]["batch_size"]): group
        for group in asked["sessionGroups"]
    }
    assert set(sessions) == {row.key for row in ROWS}
    metrics = {one["name"]["tag"]: one["value"] for one in sessions["a+b:c=1", 8]["metricValues"]}
    assert metrics["hparams/throughput/samples_per_s"] == pytest.approx(60)
    assert sessions["broken", 1]["sessions"][0]["status"] == "STATUS_FAILURE"


def test_scalars_are_figures_over_batch_size(tmp_path: Path) -> None:
    """Every measured figure that has a good direction is a scalar with the batch size as its step."""
    write(tmp_path, ROWS)
    expected = {
        (tag_of(column), row.batch_size): getattr(row, column.name)
        for row in ROWS
        for column in COLUMNS
        if row.recipe == "baseline" and column.better and getattr(row, column.name) is not None
    }
    found = scalars(tmp_path / "baseline")
    assert len(found) == len(expected)
    assert {(tag, step): value for tag, step, value in found} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("latency_mean_ms", "latency/mean_ms"),
        ("throughput_samples_per_s", "throughput/samples_per_s"),
        ("speedup", "throughput/speedup"),
        ("host_memory_peak_mb", "memory/host_peak_mb"),
        ("vram_driver_peak_mb", "memory/vram_driver_peak_mb"),
        ("accuracy_top1", "accuracy/top1"),
        ("model_size_mb", "size/model_mb"),
        ("top1_agreement", "fidelity/top1_agreement"),
        ("cold_start_s", "startup/cold_start_s"),
    ],
)
def test_tags_are_grouped(name: str, tag: str) -> None:
    """A column's tag is its group and the rest of its name."""
    assert tag_of(next(column for column in COLUMNS if column.name == name)) == tag


def test_tags_differ() -> None:
    """No two figures share a tag."""
    assert len({tag_of(column) for column in MEASURED}) == len(MEASURED)


def test_a_resume_doubles_nothing(tmp_path: Path) -> None:
    """A second sink that is given the earlier rows again leaves one point per figure and batch size."""
    write(tmp_path, ROWS[:3])
    write(tmp_path, ROWS)
    found = scalars(tmp_path / "a_b_c_1")
    assert len(found) == len({(tag, step) for tag, step, _ in found})
    assert {step for _, step, _ in found} == {1, 8}


def test_a_row_measured_again_replaces_the_first(tmp_path: Path) -> None:
    """Two rows of one cell leave the second, and the other batch sizes stay."""
    first, second = derive([timed("a", 1, 10), timed("a", 8, 20)])
    write(tmp_path, [first, second, derive([timed("a", 1, 11)])[0]])
    found = {(tag, step): value for tag, step, value in scalars(tmp_path / "a")}
    assert found["throughput/samples_per_s", 1] == pytest.approx(11)
    assert found["throughput/samples_per_s", 8] == pytest.approx(20)
    assert len(found) == len(scalars(tmp_path / "a"))


def test_foreign_files_stay(tmp_path: Path) -> None:
    """A new run takes away its own earlier scalars only: traces, other writers and runs set aside stay."""
    write(tmp_path, ROWS)
    foreign = [
        tmp_path / "profile" / "a" / "bs1.pt.trace.json",
        tmp_path / "baseline" / "events.out.tfevents.1.someone",
        tmp_path / "results" / "previous" / "then" / "a" / "events.out.tfevents.1.1.densebench",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    write(tmp_path, [])
    assert all(path.exists() for path in foreign)
    assert not (tmp_path / "a_b_c_1").exists()
    assert len(list(tmp_path.rglob("*.densebench"))) == 2  # the experiment's own, and the one set aside


def test_one_layout_stays(tmp_path: Path) -> None:
    """However many rows bring new figures, and after a second run, there is one layout of all figures."""
    write(tmp_path, ROWS)
    write(tmp_path, ROWS)
    layouts = [
        value
        for path in event_files(tmp_path)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "custom_scalars"
    ]
    assert len(layouts) == 1
    assert b"host_peak_mb" in layouts[0].tensor.string_val[0]


def test_rows_are_visible_before_the_end(tmp_path: Path) -> None:
    """A row can be read as soon as it was given, so TensorBoard follows a running sweep."""
    sink = TensorBoardSink(tmp_path)
    sink.row(ROWS[0])
    assert scalars(tmp_path / "baseline")
    sink.close()
    sink.close()


def test_no_thread_and_no_torch(tmp_path: Path) -> None:
    """The parent stays light: the sink imports no framework and starts no thread."""
    code = (
        "import sys, threading, pathlib; from densebench.sinks.tensorboard import TensorBoardSink as T;"
        f"T(pathlib.Path({str(tmp_path)!r})); assert threading.active_count() == 1;"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
