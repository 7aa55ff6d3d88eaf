"""What is told while a run is under way: progress on the console, and rows in TensorBoard as they are settled."""

from __future__ import annotations

from collections.abc import Collection

from densebench.planners import forecast
from densebench.planners.sweep import Request, rows, settled
from densebench.planners.tasks import Round, Task
from densebench.processes import messages
from densebench.results.observation import EvaluateObservation, MeasureObservation, Observation, Status
from densebench.sinks.progress import Progress
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import BASELINE
from densebench.text import batches, joined, measured_on


class Live:
    """Tells of a run, task by task and observation by observation.

    Args:
        observations: those so far; the caller adds to them.

    """

    def __init__(
        self,
        request: Request,
        workload: messages.Described,
        observations: list[Observation],
        progress: Progress,
        scalars: TensorBoardSink,
    ) -> None:
        self._request, self._workload, self._observations = request, workload, observations
        self._progress, self._scalars = progress, scalars
        self._recipes = {recipe.name: recipe for recipe in request.recipes}
        self._told = settled(request, observations)
        self._begun: set[str] = set()  # stages of rounds
        for row in rows(request, observations):
            if row.key in self._told:
                scalars.row(row)
        left = [recipe for recipe in request.recipes if self._is_left(recipe.name)]
        sizes = {size for _, size in {*request.cells} - self._told}
        expected_s = (0.0, 0.0)
        if sizes:
            spec = request.spec.model_copy(update={"batch_sizes": tuple(sizes)})
            expected_s = forecast.sweep_s(spec, workload, left)
        progress.start(len(request.cells), len(self._told), *expected_s)

    def _is_left(self, recipe: str) -> bool:
        lacks = any(name == recipe for name, _ in {*self._request.cells} - self._told)
        return recipe not in self._request.impossible and (lacks or recipe == BASELINE)

    def begin(self, task: Task) -> None:
        """A task begins."""
        if not isinstance(task, Round) or task.stage in self._begun:
            return
        self._begun.add(task.stage)
        if task.stage == "sweep":
            self._progress.turn()
            return
        sizes: dict[str, set[int]] = {}
        for process in task.processes:
            sizes.setdefault(process.recipe, set()).update(process.batch_sizes)
        names = [f"{name} at {batches(own)}" for name, own in sizes.items() if name != BASELINE]
        self._progress.note(f"measuring {joined(names)} and the baseline once more, to confirm the choice")

    def tell(self, one: Observation) -> None:
        """An observation was made."""
        self._progress.worked(forecast.observation_s(one, self._request.spec, self._workload, self._recipes))
        if isinstance(one, EvaluateObservation) and one.recipe == BASELINE and one.found:
            used, there_are = len(one.found.correct_top1), one.found.validation_images
            if used and there_are and used < there_are:
                self._progress.note(measured_on(used, there_are, one.found.all_images_s))
        if (
            isinstance(one, MeasureObservation)
            and one.stage == "confirmation"
            and one.status is not Status.OK
        ):
            self._progress.note(f"{one.recipe}, batch {one.batch_size}: not confirmed: {one.reason}")
        self._settle(settled(self._request, self._observations) - self._told)

    def _settle(self, cells: Collection[tuple[str, int]]) -> None:
        for cell in self._request.cells:
            if cell in cells:
                (row,) = rows(self._request, self._observations, cell)
                self._scalars.row(row)
                self._progress.cell_done(row)
        self._told |= {*cells}

    def interrupted(self) -> None:
        """No more tasks: what was measured is written."""
        self._progress.note("interrupted: writing the results of what was measured")

    def close(self) -> None:
        """Nothing more happens."""
        self._progress.close()
        self._scalars.close()
