"""One batch size while it is measured: whose blocks are still wanted, when they are enough, what is written down."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence

from densebench.blocks import Cell
from densebench.cells import Sweep, made_before, outcome, record_of
from densebench.errors import CellFailed, Unavailable
from densebench.recipe import Recipe
from densebench.record import BASELINE, Record
from densebench.rows import derive
from densebench.stats.comparison import Estimate, excess

Made = Sequence[tuple[Recipe, Mapping[str, object]]]


class BatchSize:
    """The cells of one batch size, the baseline's among them."""

    def __init__(self, sweep: Sweep, size: int, made: Made) -> None:
        self._sweep = sweep
        self.size = size
        self.focus = size in sweep.spec.focus_batch_sizes
        cells = [
            Cell(recipe, size, facts, earlier=sweep.latest(recipe, size))
            for recipe, facts in made
            if size in sweep.missing(recipe)
        ]
        self._others = [cell for cell in cells if cell.recipe.name != BASELINE]
        self._new_reference = next((cell for cell in cells if cell.recipe.name == BASELINE), None)
        self._reference = self._new_reference
        if self._others and self._reference is None:
            self._reference = self._former_reference()

    def wanted(self) -> list[Cell]:
        """The cells that need a block in the next round."""
        if not (self._others or (self._new_reference and self._lacks(self._new_reference))):
            return []
        return [*([self._reference] if self._reference else []), *self._others]

    @property
    def sure(self) -> bool:
        """Whether all cells have had the rounds that they are sure to get."""
        return not any(map(self._lacks, self.wanted()))

    def unsure(self) -> dict[str, float]:
        """The recipes that need a block in the next round, and how many times too wide their intervals are."""
        excesses = {cell.recipe.name: self._excess(cell) for cell in self._others}
        return {name: times for name, times in excesses.items() if times > 1}

    def close_round(self, number: int, going_on: Container[str] | None = None) -> None:
        """Write down the cells that have enough, or that there is no time for, where only some go on.

        Of the others what there is is kept, with the baseline's blocks: a resumed run goes on from it.
        """

        def closed(cell: Cell) -> bool:
            no_time = going_on is not None and cell.recipe.name not in going_on
            return not self._lacks(cell) and (no_time or self._excess(cell) <= 1)

        self._finish([cell for cell in self._others if closed(cell)])
        for cell in self.wanted():
            if number in cell.rounds:
                self._sweep.keep(self._record(cell))

    def interrupt(self, under_way: int) -> None:
        """Finish the cells that have had all the rounds that they were sure to get.

        The one under way counts only where it takes it: it may lack processes of the baseline.
        """
        for cell in self._others:
            if cell.count - (under_way in cell.rounds) >= self._sweep.least_rounds(cell.recipe, self.size):
                cell.forget(under_way)
        if self._reference and not any(under_way in cell.rounds for cell in self._others):
            self._reference.forget(under_way)
        self._finish([cell for cell in self._others if not self._lacks(cell)])

    def fail(self, cell: Cell, error: Exception) -> bool:
        """Write a failure down as the row and leave the cell out from now on; whether larger batches fail too.

        What has had its rounds keeps them: only the further ones end.
        """
        asked_for = cell is not self._reference or cell is self._new_reference
        enough = not self._lacks(cell)
        if cell is self._reference:
            self._reference = self._new_reference = None
        else:
            self._others.remove(cell)
        if asked_for and enough:
            why = f"no further rounds: {error}"
            self._sweep.progress.note(f"{cell.recipe.name}, batch {self.size}: {why}")
            record = self._record(cell)
            told = "; ".join(filter(None, (record.disturbance, why)))
            self._sweep.finish(record.model_copy(update={"disturbance": told}))
        elif asked_for:
            known = {**cell.facts, **outcome(error)}
            self._sweep.finish(record_of(self._sweep, cell.recipe, self.size, cell.started_at, **known))
        return isinstance(error, Unavailable) or (isinstance(error, CellFailed) and error.out_of_memory)

    def skip(self, recipe: Recipe, reason: str) -> None:
        """Leave out a recipe that can't be expected to run at this batch size, unless it has already."""
        for cell in [*self._others, *([self._new_reference] if self._new_reference else [])]:
            if cell.recipe is recipe and not cell.count:
                self.fail(cell, Unavailable(reason))

    def _record(self, cell: Cell) -> Record:
        return cell.record(self._sweep, adaptive=self._sweep.focused(cell.recipe, self.size))

    def _lacks(self, cell: Cell) -> bool:
        return cell.count < self._sweep.least_rounds(cell.recipe, self.size) or not cell.fresh

    def _finish(self, done: list[Cell]) -> None:
        """Write cells down, after the baseline's blocks that they are compared with."""
        last = len(done) == len(self._others)
        if self._new_reference and last and not self._lacks(self._new_reference):
            self._sweep.finish(self._record(self._new_reference))
            self._new_reference = None
        elif self._reference and self._reference.count and done:
            self._sweep.keep(self._record(self._reference))
        for cell in done:
            self._sweep.finish(self._record(cell))
            self._others.remove(cell)

    def _excess(self, cell: Cell) -> float:
        """How many times too wide its interval is; none where that doesn't count."""
        if self._lacks(cell):
            return math.inf
        if self._reference is None or not self._sweep.focused(cell.recipe, self.size):
            return 0.0
        both = [one.record(self._sweep, adaptive=True) for one in (self._reference, cell)]
        row = next(row for row in derive(both) if row.recipe == cell.recipe.name)
        if row.speedup is None:
            return 0.0
        estimate = Estimate(row.speedup, row.speedup_ci_low, row.speedup_ci_high)
        return excess(estimate, self._sweep.spec.precision_target / 100)

    def _former_reference(self) -> Cell | None:
        """The baseline of the run that is resumed, to be measured again among the recipes that it lacks."""
        recipe = next(recipe for recipe in self._sweep.recipes if recipe.name == BASELINE)
        former, facts = self._sweep.latest(recipe, self.size), made_before(self._sweep, recipe)
        return Cell(recipe, self.size, facts, earlier=former) if former and facts else None
