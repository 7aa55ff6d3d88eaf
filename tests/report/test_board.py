"""The report in TensorBoard: images, text, and what a second call leaves."""

from __future__ import annotations

import html
import io
import re
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugin_util import markdown_to_safe_html

from densebench.report.analysis import PERFORMANCE
from densebench.report.board import RUN, for_tensorboard, write_board
from densebench.report.facts import sweep_of
from densebench.report.html.batch_charts import over_batch_size
from densebench.report.html.chart import Chart
from densebench.report.html.style import DASHES, SYMBOLS, THEMES, series_of
from densebench.report.markdown import bullets
from densebench.report.picture import LINES, MARKERS, WIDTH, picture
from densebench.report.tables import escape
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.sinks.event_file import event_files
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.text import one_line
from tests.factory import broken, confirmed, header, rounded, rows_of
from tests.tensorboards import ask, server

NASTY = "<script>alert(1)</script>"
ROWS = [
    *rows_of(
        {"baseline": {1: 20, 8: 30}, NASTY: {1: 40, 8: 90}},
        rounded,
        accuracy_top1={"baseline": 99.0, NASTY: 98.5},
        model_size_mb={"baseline": 32.3, NASTY: 16.1},
        host_memory_peak_mb={"baseline": 500.0, NASTY: 450.0},
    ),
    *broken("y", [1], Status.FAILED, "boom"),
]


def stored(folder: Path) -> list[tuple[str, str, int]]:
    """(plugin, tag, step) of everything in the report's run."""
    return [
        (value.metadata.plugin_data.plugin_name, value.tag, event.step)
        for path in event_files(folder / RUN)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]


def chart_of(rows: list[Row]) -> Chart:
    """Throughput over the batch size."""
    chart = over_batch_size(series_of(rows), "throughput_samples_per_s", "Throughput", "images/s")
    assert chart is not None
    return chart


def colours(png: bytes) -> set[str]:
    """Every colour of an image."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    found = image.getcolors(image.width * image.height) or []
    return {f"#{red:02X}{green:02X}{blue:02X}" for _, (red, green, blue) in found}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log folder with the report of all rows."""
    folder = tmp_path_factory.mktemp("board")
    write_board(folder, header(), ROWS, confirmed(ROWS))
    return folder


def test_a_real_tensorboard_shows_charts_and_sentences(board: Path) -> None:
    """TensorBoard serves the charts as PNG and the analysis as text, in which a name is nothing but a name."""
    with server(board) as address:
        deadline = time.monotonic() + 40
        images: Any = {}
        texts: Any = {}
        while not (RUN in images and RUN in texts) and time.monotonic() < deadline:
            images = ask(address, "/data/plugin/images/tags")
            texts = ask(address, "/data/plugin/text/tags")
            time.sleep(0.2)
        assert {
            "accuracy/pareto",
            "batch/throughput_samples_per_s",
            "batch/latency_p50_ms",
            "memory/host_memory_peak_mb by batch size",
            "memory/model_size_mb",
        } <= set(images[RUN])
        query = {"run": RUN, "tag": "memory/host_memory_peak_mb by batch size", "sample": 0}
        shown = ask(address, "/data/plugin/images/images?" + urlencode(query))
        assert [one["step"] for one in shown] == [1, 8]
        address_of_last = f"{address}/data/plugin/images/individualImage?{shown[-1]['query']}"
        with urllib.request.urlopen(address_of_last, timeout=30) as answer:
            drawn = Image.open(io.BytesIO(answer.read()))
        assert drawn.format == "PNG"
        assert drawn.width == WIDTH
        said = {
            tag: ask(address, "/data/plugin/text/text?" + urlencode({"run": RUN, "tag": tag}))
            for tag in texts[RUN]
        }
    assert len(said) == 5
    (first,) = said["analysis/1 recommendation"]
    assert f"Deploy {html.escape(NASTY)}" in first["text"]
    assert not any("<script" in one["text"] for points in said.values() for one in points)
    assert "y at batch 1 failed: boom." in said["analysis/4 failed and skipped"][0]["text"]


def test_text_is_that_of_the_report(board: Path) -> None:
    """The sentences are those of REPORT.md, from the same rules."""
    texts = {
        value.tag: value.tensor.string_val[0].decode()
        for path in event_files(board / RUN)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    }
    assert texts["analysis/2 performance"] == bullets(sweep_of(header(), ROWS), PERFORMANCE)


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    """Written again, everything stands once; and the next sweep takes it away, but no one else's file."""
    rows = rows_of({"baseline": {1: 20}})
    write_board(tmp_path, header(), rows)
    once = stored(tmp_path)
    foreign = tmp_path / RUN / "events.out.tfevents.1.someone"
    foreign.write_text("")
    write_board(tmp_path, header(), rows)
    assert stored(tmp_path) == once
    assert {plugin for plugin, _, _ in once} == {"text", "images"}
    assert len(set(once)) == len(once)
    TensorBoardSink(tmp_path).close()
    assert stored(tmp_path) == []
    assert foreign.exists()


def test_a_recipe_called_like_the_report_keeps_its_scalars(tmp_path: Path) -> None:
    """A recipe's run of the same name is not taken for an earlier report."""
    sink = TensorBoardSink(tmp_path)
    rows = rows_of({RUN: {1: 40}})
    for row in rows:
        sink.row(row)
    sink.close()
    write_board(tmp_path, header(), rows)
    assert {plugin for plugin, _, _ in stored(tmp_path)} == {"scalars", "text", "images"}


@pytest.mark.parametrize("rows", [[], broken("baseline", [1], Status.SKIPPED, "why")])
def test_a_sweep_without_figures_has_text_alone(tmp_path: Path, rows: list[Row]) -> None:
    """Nothing to draw is no fault."""
    write_board(tmp_path, header(), rows)
    assert {plugin for plugin, _, _ in stored(tmp_path)} == {"text"}


def test_a_picture_has_the_recipes_colours() -> None:
    """Each line has its series' colour of the light theme, and the size is as told."""
    chart = chart_of(ROWS)
    drawn = picture(chart, chart.views[0])
    image = Image.open(io.BytesIO(drawn.png))
    assert (image.width, image.height) == (drawn.width, drawn.height)
    assert drawn.width == WIDTH
    assert {THEMES["light"][one.colour] for one in chart.legend} <= colours(drawn.png)


def test_names_are_no_mathematics() -> None:
    """A name with the signs of TeX, or of no font, is drawn as it stands."""
    chart = chart_of(
        rows_of({"baseline": {1: 20, 8: 30}, "$x^{$_\\frac": {1: 5, 8: 6}, "\U0001f600中": {1: 5}})
    )
    assert picture(chart, chart.views[0]).png


def test_every_look_of_the_report_is_known() -> None:
    """Each marker and dash that a series can have is drawn in a picture too, and no two markers alike."""
    assert set(SYMBOLS) <= set(MARKERS)
    assert set(DASHES) <= set(LINES)
    assert len(set(MARKERS.values())) == len(MARKERS)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_tensorboard_shows_any_text_as_it_is(text: str) -> None:
    """Our escaped Markdown is that very text to TensorBoard's parser, and makes no element but the paragraph."""
    line = one_line(text)
    shown = markdown_to_safe_html(for_tensorboard(f"- {escape('x' + line)}"))
    elements = set(re.findall(r"<(/?\w+)", shown))
    assert elements <= {"ul", "li", "/ul", "/li"}
    assert html.unescape(re.sub(r"<!--.*?-->|</?(?:ul|li)>|\n", "", shown)) == f"x{line}".strip()
