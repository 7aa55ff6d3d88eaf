"""What a person sees while the sweep runs.

On a terminal a bar; elsewhere one plain line an event. Nothing is drawn but when the parent calls: a refresh
thread would wake up inside a measurement.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from densebench.results.observation import Status
from densebench.results.problems import STATUS_WORDS
from densebench.results.record import Row
from densebench.text import duration, one_line, short, times

# of the forecast work, in seconds or as a share of all of it: older work says little about what is left
RECENT_S, RECENT_SHARE = 60.0, 0.1
SILENT_S = 60.0  # off the terminal, a long stage says how far it is when nothing was said for so long
STYLES = {Status.OK: "green", Status.SKIPPED: "yellow", Status.FAILED: "red", Status.TIMED_OUT: "red"}


class Progress:
    """The sweep's progress over its cells, with the time left as far as the cells so far tell it.

    Args:
        console: where to print; standard output if not given.
        clock: seconds, for tests.

    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console()
        self._clock = clock
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._total = self._done = 0
        self._worked_s = self._spent_s = self._left_s = self._later_s = 0.0
        self._recent_s = RECENT_S
        self._latest = self._said = clock()

    def start(
        self, total_cells: int, done: int = 0, expected_s: float = 0.0, afterwards_s: float = 0.0
    ) -> None:
        """Begin. `done` cells are there already, from the run that this one resumes.

        `expected_s` is a forecast of the work: by how much it is wrong shows as it goes on, and what was done last
        tells most. That tells nothing of work of another kind, `afterwards_s`, which `turn` begins.
        """
        self._total, self._done, self._left_s, self._later_s = total_cells, done, expected_s, afterwards_s
        self._recent_s = max(RECENT_S, RECENT_SHARE * (expected_s + afterwards_s))
        self._latest = self._clock()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = Bar(
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
                TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
                console=self._console,
                auto_refresh=False,
                expand=True,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=total_cells, completed=done, left="")
            self._bar.refresh()

    def stage(self, what: str, stage: str) -> None:
        """What begins now: `build` or `accuracy` of a recipe, the processes of a round."""
        words, left = [one_line(what), stage], self._time_left()
        if self._bar is not None:
            self._bar.update(self._task, description="  ".join(words), left=left, refresh=True)
        else:
            self._line(Text("  ".join([*words, *([left] if left else [])])))

    def detail(self, recipe: str, stage: str, words: str) -> None:
        """How far a long stage is: on the bar, elsewhere now and then."""
        text, left = f"{one_line(recipe)}  {stage}  {one_line(words)}", self._time_left()
        if self._bar is not None:
            self._bar.update(self._task, description=text, left=left, refresh=True)
        elif self._clock() - self._said >= SILENT_S:
            self._line(Text("  ".join(filter(None, (text, left)))))

    def worked(self, expected_s: float) -> None:
        """A part of the work is done that was expected to take so long."""
        fading, now = math.exp(-expected_s / self._recent_s), self._clock()
        self._worked_s = fading * self._worked_s + expected_s
        self._spent_s = fading * self._spent_s + now - self._latest
        self._latest = now
        self._left_s = max(0.0, self._left_s - expected_s)

    def turn(self) -> None:
        """The work of the second kind begins."""
        self._left_s, self._later_s = self._later_s, 0.0
        self._worked_s = self._spent_s = RECENT_S  # as forecast, until its first parts tell more than chance
        self._latest = self._clock()

    def cell_done(self, row: Row) -> None:
        """One cell has ended, well or not."""
        self._done += 1
        words = Text(f"[{self._done}/{self._total}] {one_line(row.recipe)}  batch {row.batch_size}  ")
        words.append(STATUS_WORDS[row.status], STYLES[row.status])
        if row.throughput_samples_per_s is not None:
            words.append(f"  {short(row.throughput_samples_per_s)} images/s")
        if row.speedup is not None:
            words.append(f"  {times(row.speedup)}")
        if row.status is not Status.OK and row.reason:
            words.append(f"  {one_line(row.reason)}")
        left = self._time_left()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, left=left)
        elif left:
            words.append(f"  {left}")
        self._line(words)

    def note(self, text: str) -> None:
        """A line of its own, between the others."""
        self._line(Text(one_line(text, limit=1000)))

    def close(self) -> None:
        """Take the bar away; the lines above it stay. A second call does nothing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _time_left(self) -> str:
        if not self._worked_s or not self._left_s + self._later_s or self._done >= self._total:
            return ""
        return f"eta {duration(self._spent_s / self._worked_s * self._left_s + self._later_s)}"

    def _line(self, text: Text) -> None:
        self._said = self._clock()
        self._console.print(text, soft_wrap=self._bar is None, highlight=False)
