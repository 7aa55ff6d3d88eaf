"""Progress, and the table at the end, as text."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from densebench.cli.table import print_table
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.sinks.progress import Progress
from densebench.spec import RunSpec
from tests.factory import broken, rows_of

SPEEDS = {"baseline": {1: 20.0, 8: 25.0}, "channels_last": {1: 26.0, 8: 33.1}}


class Clock:
    """Time that passes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain(width: int = 80) -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), width=width, force_terminal=False)


def text(console: Console) -> str:
    """What was printed."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def table(rows: list[Row], width: int, **more: object) -> str:
    """The comparison as printed at a width."""
    console = plain(width)
    print_table(rows, console, **more)  # type: ignore[arg-type]
    return text(console)


def test_plain_lines() -> None:
    """Off the terminal every event is one line without control codes, as the example in the method says."""
    console, clock = plain(), Clock()
    progress = Progress(console, clock)
    progress.start(66, done=10, expected_s=600.0)
    progress.stage("channels_last", "build")
    progress.detail("channels_last", "round 1, 2 of 4", "batch 8")
    clock.now = 15.0
    progress.worked(10.0)
    progress.cell_done(rows_of(SPEEDS)[2])
    clock.now = 16.0
    progress.worked(10.0)
    progress.cell_done(rows_of(SPEEDS)[3])
    progress.note("load average 2.1")
    progress.close()
    assert text(console).splitlines() == [
        "channels_last  build",
        "[11/66] channels_last  batch 1  ok  26.0 images/s  1.30x  eta 15 min",
        "[12/66] channels_last  batch 8  ok  33.1 images/s  1.32x  eta 7 min",
        "load average 2.1",
    ]


def test_a_long_stage_is_not_silent_off_the_terminal() -> None:
    """A line a minute, not one for every word of a child."""
    console, clock = plain(), Clock()
    progress = Progress(console, clock)
    progress.start(66, expected_s=600.0)
    progress.stage("round 1", "21 processes")
    for number in range(1, 22):
        clock.now += 20.0
        progress.worked(10.0)
        progress.detail("jit", f"round 1, {number} of 21", "batch 8")
    assert text(console).splitlines()[:3] == [
        "round 1  21 processes",
        "jit  round 1, 3 of 21  batch 8  eta 19 min",
        "jit  round 1, 6 of 21  batch 8  eta 18 min",
    ]
    assert len(text(console).splitlines()) == 8


def test_the_time_left_takes_one_long_part_for_what_it_is() -> None:
    """One compilation took four times what was thought: an hour and a half doesn't become six."""
    console, clock = plain(), Clock()
    progress = Progress(console, clock)
    progress.start(66, expected_s=6000.0)
    for seconds in (100.0, 100.0, 100.0, 100.0, 100.0, 400.0):
        clock.now += seconds
        progress.worked(100.0)
    progress.stage("jit", "build")
    assert text(console) == "jit  build  eta 2 h 36 min\n"


def test_the_time_left_forgets_a_forecast_that_was_wrong_about_something_else() -> None:
    """Building took ten times what was thought; timing goes as forecast, and so does what is left of it."""
    console, clock = plain(), Clock()
    progress = Progress(console, clock)
    progress.start(66, expected_s=1000.0)
    clock.now = 1000.0
    progress.worked(100.0)
    for _ in range(30):
        clock.now += 20.0
        progress.worked(20.0)
    progress.cell_done(rows_of(SPEEDS)[2])
    assert text(console).endswith("eta 5 min\n")
    progress.start(1, expected_s=100.0)
    progress.worked(50.0)
    progress.cell_done(rows_of(SPEEDS)[3])
    assert "eta" not in text(console).splitlines()[-1], "the last cell is done: nothing is left"


def test_what_making_took_tells_nothing_of_timing() -> None:
    """Models were made in half of the time that was thought: the rounds after that are as long as they are."""
    console, now = plain(), [0.0]
    progress = Progress(console, clock=lambda: now[0])
    progress.start(66, expected_s=1000.0, afterwards_s=1200.0)
    now[0] = 400.0
    progress.worked(800.0)
    progress.stage("jit", "build")
    progress.turn()
    progress.stage("round 1", "21 processes")
    now[0] += 360.0
    progress.worked(120.0)
    progress.stage("round 2", "21 processes")
    shown = [line.split("eta ")[1] for line in text(console).splitlines()]
    assert shown == ["22 min", "20 min", "46 min"]


def test_failed_cells_say_why_in_one_line() -> None:
    """A reason of several lines with terminal codes and markup is one plain line, however long."""
    console = plain(width=40)
    progress = Progress(console)
    progress.start(1)
    reason = "boom [red]\x1b[31m\nTraceback" + " long" * 100
    progress.cell_done(broken("a[b]", [2], Status.FAILED, reason)[0])
    (line,) = text(console).splitlines()
    assert line.startswith("[1/1] a[b]  batch 2  failed  boom [red] Traceback long")
    assert not re.search(r"[\x00-\x1f]", line)


def test_terminal_draws_only_when_called() -> None:
    """On a terminal there is a bar with recipe, stage and time left, and no thread that redraws it."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    clock = Clock()
    progress = Progress(console, clock)
    before = threading.active_count()
    progress.start(4, expected_s=400.0)
    progress.stage("compile", "build")
    assert threading.active_count() == before
    clock.now = 60.0
    progress.worked(100.0)
    progress.cell_done(rows_of(SPEEDS)[0])
    progress.detail("compile", "measure", "batch 8")
    shown = text(console)
    assert "compile  measure  batch 8" in shown
    assert "1/4" in shown
    assert "eta 3 min" in shown
    progress.close()
    progress.close()


def test_wide_table_has_recipes_once() -> None:
    """With room, each recipe is one line with its batch sizes side by side."""
    shown = table(rows_of(SPEEDS), 100)
    assert shown.count("channels_last") == 1
    assert re.search(r"channels_last +26\.0 +1\.30x\D+33\.1 +1\.32x", shown)
    assert "images/s" in shown


def judged(rows: list[Row], verdicts: Mapping[str, str], half: float = 0.04) -> list[Row]:
    """The rows with a verdict by recipe, and an interval around each speed-up."""
    return [
        row.model_copy(
            update={
                "verdict": verdicts[row.recipe],
                "speedup_ci_low": row.speedup - half,
                "speedup_ci_high": row.speedup + half,
            }
        )
        if row.recipe in verdicts and row.speedup is not None
        else row
        for row in rows
    ]


VERDICTS = {"a": "faster", "b": "slower", "c": "same", "d": "unclear"}
JUDGED = judged(rows_of({"baseline": {1: 20, 8: 20}} | {name: {1: 25, 8: 30} for name in VERDICTS}), VERDICTS)


@pytest.mark.parametrize("width", [40, 100])
@pytest.mark.parametrize(("encoding", "marks"), [("utf-8", "▲▼=?"), ("ascii", "+-=?"), ("latin-1", "+-=?")])
def test_marks_say_the_verdict(width: int, encoding: str, marks: str) -> None:
    """Each verdict has its mark in its row and in the key, in signs that the terminal can print."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    print_table(JUDGED, Console(file=file, width=width, force_terminal=False))
    file.flush()
    shown = file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    for mark, (recipe, verdict) in zip(marks, VERDICTS.items(), strict=True):
        assert f"{mark} {verdict}" in shown
        (line, *_) = [line for line in shown.splitlines() if re.match(rf"\W*{recipe} ", line)]
        assert re.search(rf"1\.\d\dx (?:\S+ )?{re.escape(mark)}\W*(?: |$)", line), line


def test_the_interval_stands_beside_the_speed_up() -> None:
    """Where there is room, half the interval's width follows the speed-up; the baseline has none."""
    shown = table(JUDGED, 100)
    assert re.search(r"\ba +25\.0 +1\.25x ±0\.04 ▲ +30\.0 +1\.50x ±0\.04 ▲", shown)
    assert "±" not in next(line for line in shown.splitlines() if "baseline  " in line)


@pytest.mark.parametrize("width", [40, 100])
def test_a_wide_interval_shows_its_ends_and_costs_no_other_its_place(width: int) -> None:
    """A speed-up between 1.20x and 4.52x must not read as exact, however narrow the terminal is."""
    ends = {"speedup_ci_low": 1.2, "speedup_ci_high": 4.52}
    rows = [row.model_copy(update=ends) if row.key == ("d", 8) else row for row in JUDGED]
    shown = " ".join(table(rows, width).split())
    assert "wide interval d, batch 8: 1.50x (1.20 to 4.52)" in shown
    assert shown.count("±0.04") == (table(JUDGED, width).count("±0.04") - (width == 100))
    assert len({len(line) for line in table(rows, 100).splitlines() if re.match(r"\W*[a-d] ", line)}) == 1


def test_without_verdicts_there_is_no_key() -> None:
    """Rows of one process have neither marks nor intervals."""
    rows = [row.model_copy(update={"verdict": None, "speedup_ci_low": None}) for row in rows_of(SPEEDS)]
    shown = table(rows, 100)
    assert not set("▲▼±") & set(shown)
    assert "faster" not in shown


def test_the_default_suite_fits_a_hundred_columns() -> None:
    """All recipes with intervals and marks at three batch sizes, however wide the terminal is; names are whole."""
    spec = RunSpec.create()
    rows = rows_of(
        {name: dict.fromkeys(spec.batch_sizes, 1234.0) for name in spec.recipes},
        accuracy_top1=dict.fromkeys(spec.recipes, 98.5),
        model_size_mb=dict.fromkeys(spec.recipes, 32.3),
    )
    rows = judged(rows, {name: "faster" for name in spec.recipes if name != "baseline"}, 0.25)
    for width in (100, 200):
        shown = table(rows, width)
        assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100
        for words in ("batch 1 ", "batch 8 ", "batch 32 ", "1.00x ±0.25 ▲", "channels_last+bf16+compile "):
            assert words in shown
        assert len([line for line in shown.splitlines() if "1234 1.00x" in line]) == len(spec.recipes)


def test_narrow_table_has_a_line_per_row() -> None:
    """Without room, each row is its own line."""
    shown = table(rows_of({"baseline": {1: 20, 8: 25}, "channels_last+bf16": {1: 26, 8: 33.1}}), 44)
    assert re.search(r"chan\w+\S* +1 +26\.0 +1\.30x", shown)
    assert re.search(r"chan\w+\S* +8 +33\.1 +1\.32x", shown)


@pytest.mark.parametrize("width", [50, 80, 140])
def test_table_fits(width: int) -> None:
    """Nothing is wider than the terminal, with long names and many batch sizes."""
    sizes = (1, 2, 4, 8, 16, 32)
    rows = rows_of(
        {"baseline": dict.fromkeys(sizes, 20.0), "channels_last+bf16+compile": dict.fromkeys(sizes, 50.0)}
    )
    rows += broken("aot", sizes, Status.SKIPPED, "the compiler g++ is missing: install it " * 3)
    shown = table(rows, width, recommendation="Deploy it. " * 20)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert width < 80 or "channels_last+bf16+compile" in shown  # a narrower one folds the name


@pytest.mark.parametrize("width", [40, 100])
def test_two_machines_have_a_table_each(width: int) -> None:
    """The same cells of two machines are all there, each machine's under its name with what didn't run on it."""
    here = rows_of(SPEEDS)
    there = [
        row.model_copy(update={"environment_id": "feedbeef"})
        for row in rows_of({"baseline": {1: 40.0, 8: 50.0}}) + broken("x", [1], Status.FAILED, "boom")
    ]
    first, second = table([*here, *there], width).split("On feedbeef:")
    assert first.strip().startswith("On 0badcafe:")
    assert all(speed in first for speed in ("20.0", "25.0", "26.0", "33.1"))
    assert all(speed in second for speed in ("40.0", "50.0", "boom"))
    assert "boom" not in first
    assert "On 0badcafe" not in table(here, width)


def test_failed_and_skipped_stand_below_with_reason() -> None:
    """What did not run is in the table and below it, once per reason."""
    rows = rows_of(SPEEDS) + broken("a[b]", [1, 8], Status.SKIPPED, "no <gpu> [here]")
    shown = table(rows, 100)
    assert "skipped  a[b], batches 1 and 8: no <gpu> [here]" in shown
    assert shown.count("no <gpu>") == 1


def test_recommendation_and_paths_come_last() -> None:
    """The recommendation and what to open follow the table, and a long path is not broken."""
    path = Path("/" + "long" * 30 + "/REPORT.md")
    shown = table(rows_of(SPEEDS), 80, recommendation="Deploy it.", paths=[path])
    assert shown.index("Deploy it.") < shown.index(str(path))


def test_no_rows() -> None:
    """A run without rows prints its recommendation and no table."""
    assert table([], 80, recommendation="nothing").split() == ["nothing"]
