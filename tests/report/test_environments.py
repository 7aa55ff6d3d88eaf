"""Rows of two machines in one report: each is told and shown apart, and nothing is recommended over both."""

from __future__ import annotations

import re
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from densebench.report import answer_in_words
from densebench.report.analysis import analyse
from densebench.report.board import RUN, write_board
from densebench.report.html import page
from densebench.report.html.batch_charts import over_batch_size
from densebench.report.html.pareto_chart import pareto
from densebench.report.html.style import series_of
from densebench.report.html.tiles import tiles
from densebench.report.markdown import report, summary
from densebench.report.sweep import Sweep
from densebench.results.derive import derive
from densebench.sinks.event_file import event_files
from tests.factory import confirmed, header, record, rounded, timed

HERE, THERE = "0badcafe", "feedbeef"
ROWS = derive(
    [
        rounded("baseline", 8, 30, accuracy_top1=99.0),
        rounded("slow here", 8, 20, accuracy_top1=99.0),
        rounded("baseline", 8, 60, accuracy_top1=99.0, environment_id=THERE),
        rounded("quick there", 8, 90, accuracy_top1=99.0, environment_id=THERE),
        record(recipe="quick there", batch_size=1, environment_id=THERE, status="failed", reason="boom"),
    ]
)
SWEEP = Sweep(tuple(ROWS), confirmation=confirmed(ROWS))
WARNING = (
    "Warning: the rows come from 2 environments, 0badcafe (2 rows) and feedbeef (3 rows): speeds of different ones "
    "can't be compared."
)


def test_each_environment_is_told_apart() -> None:
    """Every sentence but one begins with the environment that it is of, and names no recipe of the other."""
    (warning,) = [one for one in analyse(SWEEP) if not one.environment]
    assert warning.sentence == WARNING
    for one in analyse(SWEEP):
        if one.environment:
            assert one.sentence.startswith(f"On {one.environment}: ")
            foreign = {HERE: "quick there", THERE: "slow here"}[one.environment]
            assert foreign not in one.sentence
            assert foreign not in {recipe for recipe, _ in one.evidence}


def test_each_environment_has_its_recommendation() -> None:
    """What to deploy is said of each, and no row is the answer for both."""
    said = answer_in_words(SWEEP)
    assert said.startswith("On 0badcafe: Keep the baseline at batch 8 (30.0 images/s)")
    assert "On feedbeef: Deploy quick there at batch 8: 1.50x" in said
    assert SWEEP.chosen is None
    assert SWEEP.artifact == ""
    assert tiles(SWEEP, None) == []
    assert "recommended</small>" not in page(header(), ROWS, confirmation=confirmed(ROWS))


def test_one_environment_is_told_as_before() -> None:
    """Without a second one nothing is named after it."""
    rows = [row for row in ROWS if row.environment_id == HERE]
    assert not any(one.environment for one in analyse(Sweep(tuple(rows))))
    assert f"On {HERE}" not in report(header(), rows)


def test_markdown_loses_no_row() -> None:
    """A table for each environment, its name above, with every speed."""
    for text in (report(header(), ROWS), summary(header(), ROWS)):
        assert re.search(r"On 0badcafe:\n\n\|.*\n.*\n\| baseline .*30\.0.*\n\| slow here .*20\.0", text)
        assert re.search(
            r"On feedbeef:\n\n\|.*\n.*\n\| baseline \| - .*60\.0.*\n\| quick there \| failed .*90\.0", text
        )
        assert "Measured 2026-01-02 in 2 environments" in text
    assert report(header(), ROWS).count("On feedbeef:\n\n| recipe") == 3
    assert "- On feedbeef: quick there at batch 1 failed: boom." in report(header(), ROWS)


def test_the_front_is_of_one_environment() -> None:
    """A recipe is beaten by none of another machine: each has its own front and its own table."""
    chart = pareto(SWEEP, series_of(ROWS))
    assert chart is not None
    assert [view.label for view in chart.views] == [
        "each at its best batch size @ 0badcafe",
        "each at its best batch size @ feedbeef",
    ]
    first, second = chart.figures
    assert [(line[0], line[3]) for line in first.lines] == [("baseline", ""), ("slow here", "baseline")]
    assert [(line[0], line[3]) for line in second.lines] == [("quick there", ""), ("baseline", "quick there")]


def test_names_at_one_accuracy_do_not_stand_on_one_side() -> None:
    """Two that are nearly as quick: one above, one below; none at all for a recipe that others beat in both."""
    fast = [
        timed(name, 8, speed, accuracy_top1=99.0) for name, speed in (("baseline", 30), ("x", 90), ("y", 91))
    ]
    chart = pareto(Sweep(tuple(derive(fast))), series_of(derive(fast)))
    assert chart is not None
    sides = {str(trace["text"][0]).strip(): trace.get("textposition") for trace in chart.views[0].traces[1:]}
    assert sides["baseline"] is None
    assert {sides["x"], sides["y"]} == {"top left", "bottom left"}


def test_no_bar_is_held_against_anothers_baseline() -> None:
    """Where one machine alone has a baseline, there is no line at it across the other's bars."""
    rows = derive([timed("baseline", 8, 30), timed("x", 8, 90, environment_id=THERE)])
    chart = over_batch_size(series_of(rows), "throughput_samples_per_s", "Throughput", "images/s")
    assert chart is not None
    assert (chart.views[0].layout["shapes"], chart.caption) == ([], "")


def test_tensorboard_has_both(tmp_path: Path) -> None:
    """Each machine's front is an image of its own, one step after the other."""
    rows = [*ROWS, *derive([timed("baseline", 1, 50, accuracy_top1=99.0, environment_id=THERE)])]
    write_board(tmp_path, header(), rows)
    steps = [
        event.step
        for path in event_files(tmp_path / RUN)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == "accuracy/pareto"
    ]
    assert steps == [0, 1, 2, 3], "the best of both, then the two batch sizes of the second"
