"""The second half of a sweep: rounds of fresh processes, the baseline's among them.

Each round's are forked from processes of its own, since forks of one have the same address space.

A recipe is never timed alone. One round holds one process of each recipe that still needs one and two of the
baseline, in random order, one after the other; the speed-up is taken within rounds. A process loads its artifact
once and is timed at each batch size that still needs a block, from small to large; at the focus batch sizes it takes
turns with one more process of the baseline, which stands beside all of a round.
Memory and the first inference are those of the batch size that comes first: in some rounds a recipe has more
processes, so that each batch size comes first in one (`beginnings.py`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from densebench import forecast, jobs
from densebench.batch_size import BatchSize, Made
from densebench.beginnings import in_processes
from densebench.blocks import Cell
from densebench.cells import Sweep
from densebench.company import company
from densebench.errors import CellFailed, Unavailable, UsageError
from densebench.isolation import error_of
from densebench.measure.cores import full_speed_us
from densebench.record import BASELINE

TRACE_TRIES = 2


def time_cells(sweep: Sweep, made: Made) -> None:
    """Measure every missing row of the recipes that could be built, until each has enough.

    An interrupt costs the round under way.
    """
    # records of before rounds read as if each process had one of its own (`Record.blocks`): they share none
    earlier = [n for record in sweep.records for n in record.rounds or range(len(record.samples_ms))]
    Rounds(sweep, [BatchSize(sweep, size, made) for size in sweep.batch_sizes]).measure(
        1 + max(earlier, default=-1)
    )


class Rounds:
    """The rounds of a sweep, over all its batch sizes."""

    def __init__(self, sweep: Sweep, sizes: Sequence[BatchSize]) -> None:
        self._sweep = sweep
        self._sizes = {one.size: one for one in sizes}
        self._companions: Mapping[int, str] = {}
        self._looks_us = [*sweep.survey.looks_us]
        self._pace: dict[str, float] = {}  # by recipe: how its last process took longer than was forecast
        self._alone: set[int] = (
            set()
        )  # where no baseline stood beside the others, or was of use: not tried again

    def measure(self, first: int) -> None:
        """Go round until every cell has enough; the first round has this number."""
        spec, sizes = self._sweep.spec, self._sizes.values()
        focus = [one for one in sizes if one.focus and one.wanted()]
        count, late_from = 0, math.inf
        try:
            while any(one.wanted() for one in sizes):
                self._round(first, count)
                count += 1
                if late_from == math.inf and all(one.sure for one in focus):
                    late_from = time.monotonic() + spec.focus_time * len(focus)
                going_on = None if late_from == math.inf else self._affordable(late_from - time.monotonic())
                for one in sizes:
                    one.close_round(first + count - 1, going_on)
        except KeyboardInterrupt:
            for one in sizes:
                one.interrupt(first + count)
            raise

    def _round(self, first: int, count: int) -> None:
        """One process of each recipe, and as many of the baseline as the sweep says."""
        sweep, number = self._sweep, first + count
        if count:
            sweep.nurseries.renew()
        turns = self._turns()
        sizes = self._accompanied(turns)
        with company(sweep, sizes, full_speed_us(self._looks_us)) as self._companions:
            self._alone |= {*sizes} - {*self._companions}
            repeats = {BASELINE: sweep.baseline_blocks}
            order = [name for name in turns for _ in range(repeats.get(name, 1))]
            random.Random(f"{sweep.spec.seed} {number}").shuffle(order)  # noqa: S311 - not a secret
            sweep.progress.stage(f"round {count + 1}", f"{len(order)} processes")
            for place, name in enumerate(order):
                where = f"round {count + 1}, {place + 1} of {len(order)}"
                began = time.monotonic()
                self._blocks(turns[name], number, where)
                expected_s = self._forecast_s(cell.batch_size for cell in turns[name])
                self._pace[name] = (time.monotonic() - began) / expected_s
                sweep.progress.worked(expected_s)
            self._alone |= {size for size in self._companions if not self._took_turns(turns, size)}

    def _took_turns(self, turns: Mapping[str, list[Cell]], size: int) -> bool:
        """Whether any recipe's process did so far, with the baseline that stood beside at this batch size."""
        cells = [c for name, own in turns.items() if name != BASELINE for c in own if c.batch_size == size]
        return any(block.beside_ms for cell in cells for block in cell.blocks)

    def _affordable(self, left_s: float) -> set[str]:
        """Recipes that need another round and have the time for it, those that are known least well first.

        By how much longer than forecast the processes of the round before took. What lacks rounds has them anyway.
        """
        excesses: dict[str, float] = {}
        sizes: dict[str, list[int]] = {}
        for size, one in self._sizes.items():
            for name, times in one.unsure().items():
                excesses[name] = max(times, excesses.get(name, 0.0))
                sizes.setdefault(name, []).append(size)
        needed_s = {name: self._pace.get(name, 1.0) * self._forecast_s(own) for name, own in sizes.items()}
        every = {size for own in sizes.values() for size in own}
        left_s -= self._sweep.baseline_blocks * self._pace.get(BASELINE, 1.0) * self._forecast_s(every)
        chosen = set()
        for name in sorted(excesses, key=lambda name: -excesses[name]):
            if needed_s[name] <= left_s or math.isinf(excesses[name]):
                left_s -= needed_s[name]
                chosen.add(name)
        return chosen

    def _forecast_s(self, sizes: Iterable[int]) -> float:
        return forecast.process_s(self._sweep.spec, self._sweep.workload, tuple(sizes))

    def _accompanied(self, turns: Mapping[str, list[Cell]]) -> list[int]:
        """The focus batch sizes at which others than the baseline are measured in this round, and it is too."""
        wanted = {size for size, one in self._sizes.items() if one.focus} & _compared(turns) - self._alone
        return [cell.batch_size for cell in turns.get(BASELINE, ()) if cell.batch_size in wanted]

    def _turns(self) -> dict[str, list[Cell]]:
        """Each recipe's cells of this round, and the baseline's at the same batch sizes."""
        wanted: dict[str, list[Cell]] = {}
        for one in self._sizes.values():
            for cell in one.wanted():
                wanted.setdefault(cell.recipe.name, []).append(cell)
        reference = wanted.pop(BASELINE, [])
        return {name: cells for name, cells in {BASELINE: reference, **wanted}.items() if cells}

    def _open(self, cell: Cell) -> bool:
        """Whether it is still measured: it may have failed since the round began."""
        return cell in self._sizes[cell.batch_size].wanted()

    def _blocks(self, cells: list[Cell], number: int, where: str) -> None:
        """Measure each of these cells of one recipe; those that fail or are disturbed cost a process more."""
        waiting = in_processes(cells, partial(self._sweep.least_rounds, cells[0].recipe))
        while waiting:
            wanted = [cell for cell in waiting.pop(0) if self._open(cell)]
            if not wanted:
                continue
            answered, error = self._process(wanted, where)
            again = []
            for cell in wanted:
                block = answered.get(cell.batch_size)
                if block is None:
                    continue
                if block.disturbance and len(cell.repeated) < self._sweep.spec.repeats:
                    cell.repeated.append(block.disturbance)
                    again.append(cell)
                else:
                    cell.blocks.append(block)
                    cell.rounds.append(number)
            left = [cell for cell in wanted if cell.batch_size not in answered]
            if left:
                left = self._fail(left, error)
            if rest := _by_size([*again, *left]):
                waiting = [rest, *waiting]

    def _fail(self, left: list[Cell], error: Exception) -> list[Cell]:
        """The first of these cells failed, before the others had their turn; those that it doesn't concern."""
        cell, *others = left
        size = cell.batch_size
        if not self._sizes[size].fail(cell, error):
            return others
        for one in self._sizes.values():
            if one.size > size:
                one.skip(cell.recipe, f"as at batch {size}: {error}")
        return [cell for cell in others if self._open(cell)]

    def _untraced(self, cell: Cell) -> bool:
        """Whether its trace is still to be taken: in its first process, or the next if that one ended before."""
        tried = len(cell.blocks) + len(cell.repeated)
        return not (cell.traces or cell.earlier) and tried < TRACE_TRIES

    def _process(self, cells: list[Cell], where: str) -> tuple[dict[int, jobs.Block], Exception]:
        """One fresh process at these cells' batch sizes: the blocks that it got to, and why to no more of them."""
        sweep, spec, recipe = self._sweep, self._sweep.spec, cells[0].recipe
        slow_reason = recipe.slow(sweep.workload.device) or ""
        ends = (sweep.batch_sizes[0], sweep.batch_sizes[-1])
        traced = {
            cell.batch_size: f"profile/{recipe.folder}/bs{cell.batch_size}.pt.trace.json"
            for cell in cells
            if sweep.traces and cell.batch_size in ends and self._untraced(cell)
        }
        job = jobs.Measure(
            folder=sweep.models / recipe.folder,
            device=sweep.workload.device,
            batch_sizes=tuple(cell.batch_size for cell in cells),
            timing_file=sweep.timing_file,
            sample_seconds=spec.sample_time,
            timeout_s=spec.cell_timeout,
            slow_reason=slow_reason,
            processes={
                c.batch_size: max(1, sweep.least_rounds(recipe, c.batch_size) - c.count) for c in cells
            },
            idle_watts=sweep.survey.idle_watts,
            traces={size: spec.log_dir / name for size, name in traced.items()},
            beside={} if slow_reason else dict(self._companions),
            precision=spec.precision_target / 100,
            full_speed_us=full_speed_us(self._looks_us),
            threads=sweep.threads_of(recipe),
            trust=spec.trust,
        )
        say = partial(sweep.progress.detail, recipe.name, where)
        try:
            measured = sweep.nurseries.of(recipe.environment()).run(
                job, jobs.Measured, spec.cell_timeout, say
            )
        except (CellFailed, Unavailable, UsageError) as error:
            return {}, error
        for block in measured.blocks.values():
            self._looks_us += block.looks_us
        for cell in cells:
            name = traced.get(cell.batch_size)
            if name is None or cell.batch_size not in measured.blocks:
                continue
            if problem := measured.traced.get(cell.batch_size, "the process ended while it was profiled"):
                sweep.progress.note(f"{recipe.name}, batch {cell.batch_size}: no profile: {problem}")
            else:
                cell.traces = (name,)
        ended = error_of(measured.ended) if measured.ended else CellFailed("ended before its turn")
        return measured.blocks, ended


def _compared(turns: Mapping[str, list[Cell]]) -> set[int]:
    """Batch sizes at which others than the baseline are measured."""
    return {cell.batch_size for name, cells in turns.items() if name != BASELINE for cell in cells}


def _by_size(cells: Sequence[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: cell.batch_size)
