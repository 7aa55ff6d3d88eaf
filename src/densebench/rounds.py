"""The second half of a sweep: at each batch size rounds of fresh processes, the baseline's among them.

A recipe is never timed alone. One round holds one process of each recipe that still needs one and two of the
baseline, in random order, one after the other; the speed-up is taken within rounds.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence

from densebench import forecast, jobs
from densebench.blocks import Cell
from densebench.cells import Sweep, made_before, now, outcome, record_of
from densebench.errors import CellFailed, Unavailable, UsageError
from densebench.recipe import Recipe
from densebench.record import BASELINE, Status
from densebench.rows import derive
from densebench.stats.comparison import Estimate, narrow_enough


def time_cells(sweep: Sweep, made: Sequence[tuple[Recipe, Mapping[str, object]]]) -> None:
    """Measure every missing row of the recipes that could be built, batch size by batch size."""
    stopped: dict[str, str] = {}
    for size in sweep.batch_sizes:
        cells = []
        for recipe, facts in made:
            if size not in sweep.missing(recipe):
                continue
            if recipe.name in stopped:
                reason = stopped[recipe.name]
                sweep.finish(record_of(sweep, recipe, size, now(), status=Status.SKIPPED, reason=reason))
            else:
                cells.append(Cell(recipe, size, facts))
        if cells:
            stopped |= BatchSize(sweep, size, cells).measure()


class BatchSize:
    """The rounds at one batch size."""

    def __init__(self, sweep: Sweep, size: int, cells: Sequence[Cell]) -> None:
        self._sweep = sweep
        self._size = size
        self._focus = size in sweep.spec.focus_batch_sizes
        self._others = [cell for cell in cells if cell.recipe.name != BASELINE]
        self._new_reference = next((cell for cell in cells if cell.recipe.name == BASELINE), None)
        self._reference = self._new_reference or self._former_reference()
        earlier = [number for r in sweep.records if r.batch_size == size for number in r.rounds]
        self._first = 1 + max(earlier, default=-1)
        self._least = sweep.spec.least_rounds(size)
        self._stopped: dict[str, str] = {}
        self._expected_s = forecast.size_s(sweep.spec, sweep.workload, size, len(self._others))

    def measure(self) -> dict[str, str]:
        """Go round until every cell has enough; return, recipe by recipe, why larger batches would fail too.

        An interrupt keeps the cells that have had all the rounds that they were sure to get.
        """
        count = 0
        late_from = math.inf
        try:
            while self._others or (self._new_reference and count < self._least):
                self._round(self._first + count)
                count += 1
                if count == self._least:
                    late_from = time.monotonic() + self._sweep.spec.focus_time
                late = time.monotonic() > late_from
                if done := [cell for cell in self._others if self._enough(cell, count, late=late)]:
                    self._finish(done)
        except KeyboardInterrupt:
            if count >= self._least:
                self._finish(list(self._others))
            raise
        if self._new_reference:
            self._finish([])
        self._sweep.progress.worked(self._expected_s)
        return self._stopped

    def _finish(self, done: list[Cell]) -> None:
        """Write cells down, after the baseline's blocks that they are compared with."""
        last = len(done) == len(self._others)
        if self._new_reference and last:
            self._sweep.finish(self._new_reference.record(self._sweep, adaptive=self._focus))
            self._new_reference = None
        elif self._reference and done:
            self._sweep.keep(self._reference.record(self._sweep, adaptive=self._focus))
        for cell in done:
            self._sweep.finish(cell.record(self._sweep, adaptive=self._focus))
            self._others.remove(cell)

    def _enough(self, cell: Cell, count: int, *, late: bool) -> bool:
        if count < self._least:
            return False
        if not self._focus or late or self._reference is None:
            return True
        both = [one.record(self._sweep, adaptive=True) for one in (self._reference, cell)]
        row = next(row for row in derive(both) if row.recipe == cell.recipe.name)
        if row.speedup is None:
            return True
        estimate = Estimate(row.speedup, row.speedup_ci_low, row.speedup_ci_high)
        return narrow_enough(estimate, self._sweep.spec.precision_target / 100)

    def _round(self, number: int) -> None:
        blocks = [
            *self._others,
            *([self._reference] * self._sweep.baseline_blocks if self._reference else []),
        ]
        random.Random(f"{self._sweep.spec.seed} {self._size} {number}").shuffle(blocks)  # noqa: S311 - not a secret
        for place, cell in enumerate(blocks):
            where = f"round {number - self._first + 1}, {place + 1} of {len(blocks)}"
            self._sweep.progress.stage(cell.recipe.name, where, self._size)
            if cell is self._reference or cell in self._others:  # it may have failed since the round began
                self._block(cell, number)

    def _block(self, cell: Cell, number: int) -> None:
        try:
            measured = self._run(cell)
            while measured.disturbance and len(cell.repeated) < self._sweep.spec.repeats:
                cell.repeated.append(measured.disturbance)
                measured = self._run(cell)
        except (CellFailed, Unavailable, UsageError) as error:
            self._fail(cell, error)
            return
        cell.blocks.append(measured)
        cell.rounds.append(number)
        spent_s = min(self._expected_s, forecast.block_s(self._sweep.spec, self._sweep.workload, self._size))
        self._expected_s -= spent_s
        self._sweep.progress.worked(spent_s)

    def _fail(self, cell: Cell, error: Exception) -> None:
        """Write a failure down as the row, and leave the cell out from now on."""
        name = cell.recipe.name
        if cell is self._reference:
            self._reference = None
        else:
            self._others.remove(cell)
        if cell.earlier is None:
            failed = record_of(self._sweep, cell.recipe, self._size, cell.started_at, **outcome(error))
            self._sweep.finish(failed)
        if cell is self._new_reference:
            self._new_reference = None
        if isinstance(error, Unavailable) or (isinstance(error, CellFailed) and error.out_of_memory):
            self._stopped[name] = f"as at batch {self._size}: {error}"

    def _run(self, cell: Cell) -> jobs.Measured:
        """One fresh process, which is profiled too after its figures are safe, if it is the first of its cell."""
        sweep, spec, recipe = self._sweep, self._sweep.spec, cell.recipe
        name = f"profile/{recipe.folder}/bs{self._size}.pt.trace.json"
        ends = (sweep.batch_sizes[0], sweep.batch_sizes[-1])
        traced = sweep.traces and self._size in ends and not (cell.blocks or cell.repeated or cell.earlier)
        job = jobs.Measure(
            folder=sweep.models / recipe.folder,
            device=sweep.workload.device,
            batch_size=self._size,
            timing_file=sweep.timing_file,
            sample_seconds=spec.sample_time,
            timeout_s=spec.cell_timeout,
            slow_reason=recipe.slow(sweep.workload.device) or "",
            idle_watts=sweep.survey.idle_watts,
            trace=spec.log_dir / name if traced else None,
            threads=sweep.threads_of(recipe),
            trust=spec.trust,
        )
        measured = sweep.nurseries.of(recipe.environment()).run(job, jobs.Measured, spec.cell_timeout)
        if traced and measured.trace_problem:
            words = f"{recipe.name}, batch {self._size}: no profile: {measured.trace_problem}"
            sweep.progress.note(words)
        elif traced:
            cell.traces = (name,)
        return measured

    def _former_reference(self) -> Cell | None:
        """The baseline of the run that is resumed, to be measured again among the recipes that it lacks."""
        former = [r for r in self._sweep.records if r.key == (BASELINE, self._size) and r.status is Status.OK]
        if not former:
            return None
        recipe = next(recipe for recipe in self._sweep.recipes if recipe.name == BASELINE)
        facts = made_before(self._sweep, recipe)
        return Cell(recipe, self._size, facts, earlier=former[-1]) if facts else None
