"""Runs a round on this machine: its processes one after the other, each from a new fork server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from densebench.errors import CellFailed
from densebench.executors.site import FAULTS, Clock, Site, ended
from densebench.measure.interleave import pair_count
from densebench.planners.forecast import batch_s
from densebench.planners.tasks import Process, Round
from densebench.processes import messages
from densebench.processes.fork_server import error_of
from densebench.results.observation import MeasureObservation, ProcessSamples, Status
from densebench.spec import BASELINE

Measured = tuple[
    dict[int, ProcessSamples], Exception, Mapping[int, str]
]  # by batch size; why no more; traces


class RoundRun:
    """One round under way."""

    def __init__(self, site: Site, task: Round, name: str) -> None:
        self._site = site
        self._task = task
        self._name = name
        self._references: Mapping[int, str] = {}  # addresses by batch size
        self._too_large: dict[str, tuple[int, Exception]] = {}  # by recipe, where memory or time ran out

    def run(self) -> Iterator[MeasureObservation]:
        """Every observation of the round, as it is made.

        Forks of one process have the same address space, and with it the same conflicts in caches. So each round has
        new fork servers.
        """
        self._site.pool.renew()
        count = len(self._task.processes)
        self._site.say.stage(self._name, f"{count} processes")
        with self._reference_processes() as self._references:
            for place, process in enumerate(self._task.processes, start=1):
                yield from self._process(process, f"{self._name}, {place} of {count}")

    @contextmanager
    def _reference_processes(self) -> Iterator[Mapping[int, str]]:
        """Where the reference processes listen, by batch size, as long as the round lasts.

        Each serves one batch size: what a larger one left in a process makes smaller ones quicker (decision 6).
        """
        site, addresses = self._site, dict[int, str]()
        sizes = {
            size for process in self._task.processes if process.recipe != BASELINE for size in process.pairs
        }
        with ExitStack() as stack:
            for size in sorted(sizes - site.unpaired):
                try:
                    job = site.reference_job(size)
                    stack.enter_context(site.pool.reference(job, site.spec.cell_timeout))
                except FAULTS as error:
                    site.unpaired.add(size)
                    site.say.note(
                        f"batch {size}: the reference process ended ({error}): the remaining rounds are measured "
                        "without pairs"
                    )
                else:
                    addresses[size] = job.address
            yield addresses

    def _process(self, process: Process, where: str) -> Iterator[MeasureObservation]:
        """Time a recipe in a fresh process; what is disturbed or fails costs another one for the sizes left."""
        repeated: Counter[int] = Counter()
        sizes: Sequence[int] = process.batch_sizes
        while sizes:
            small, large = self._split(process.recipe, sizes)
            for size in large:
                yield self._skipped(process.recipe, size)
            if not small:
                return
            clock = Clock()
            found, error, traces = self._measure(process, small, where)
            again: list[int] = []
            for size, samples in found.items():
                discarded = bool(samples.interference) and repeated[size] < self._site.spec.repeats
                if discarded:
                    repeated[size] += 1
                    again.append(size)
                yield self._observation(
                    process.recipe,
                    size,
                    clock,
                    samples=samples,
                    discarded=discarded,
                    trace=traces.get(size, ""),
                )
            left = [size for size in small if size not in found]
            for size in left[:1]:
                broad = isinstance(error, CellFailed) and error.out_of_memory
                out = ended(error, self._site.spec.cell_timeout)
                yield self._observation(process.recipe, size, clock, out_of_memory=broad, **out)
                if broad or out["status"] is Status.SKIPPED:
                    self._too_large[process.recipe] = (size, error)
            sizes = sorted([*again, *left[1:]])

    def _split(self, recipe: str, sizes: Sequence[int]) -> tuple[list[int], list[int]]:
        """Those that can be expected to run, and those larger than one where memory or time ran out."""
        limit = self._too_large[recipe][0] if recipe in self._too_large else max(sizes)
        return [size for size in sizes if size <= limit], [size for size in sizes if size > limit]

    def _skipped(self, recipe: str, size: int) -> MeasureObservation:
        smaller, error = self._too_large[recipe]
        out = ended(error, self._site.spec.cell_timeout)
        out |= {"status": Status.SKIPPED, "reason": f"as at batch {smaller}: {out['reason']}"}
        return self._observation(recipe, size, Clock(), **out)

    def _observation(self, recipe: str, size: int, clock: Clock, **facts: object) -> MeasureObservation:
        task = self._task
        shared = {"recipe": recipe, "batch_size": size, "stage": task.stage, "round": task.number}
        return MeasureObservation.model_validate(shared | {"of": task.measurements} | clock.facts() | facts)

    def _measure(self, process: Process, sizes: Sequence[int], where: str) -> Measured:
        """What one fresh process says of these batch sizes, why it got no further, and the traces that it took."""
        site = self._site
        recipe = site.recipes[process.recipe]
        traces = {
            size: f"profile/{recipe.folder}/bs{size}.pt.trace.json"
            for size in process.traced
            if size in sizes
        }
        say = partial(site.say.detail, recipe.name, where)
        try:
            server = site.pool.of(recipe.environment())
            job = self._job(process, sizes, traces)
            measured = server.run(job, messages.Measured, site.spec.cell_timeout, say)
        except FAULTS as error:
            return {}, error, {}
        why = error_of(measured.ended) if measured.ended else CellFailed("ended before its turn")
        return measured.samples, why, self._taken(recipe.name, traces, measured)

    def _job(self, process: Process, sizes: Sequence[int], traces: Mapping[int, str]) -> messages.Measure:
        site = self._site
        recipe = site.recipes[process.recipe]
        spec, device = site.spec, site.workload.device
        references = {size: one for size, one in self._references.items() if size in process.pairs}
        return messages.Measure(
            folder=site.folder(process.recipe),
            device=device,
            batch_sizes=tuple(sizes),
            timing_file=site.timing_file,
            sample_seconds=spec.sample_time,
            timeout_s=spec.cell_timeout,
            slow_reason=recipe.slow(device) or "",
            rounds=process.rounds,
            idle_watts=site.survey.idle_watts,
            traces={size: spec.log_dir / name for size, name in traces.items()},
            references=references,
            pairs={size: pair_count(batch_s(site.workload, size), spec.sample_time) for size in references},
            threads=site.threads_of(recipe),
            trust=spec.trust,
        )

    def _taken(self, recipe: str, traces: Mapping[int, str], measured: messages.Measured) -> dict[int, str]:
        """The traces that were written; of one that could not be, the user is told."""
        taken = {}
        for size, name in traces.items():
            problem = measured.traced.get(size, "the process ended while it was profiled")
            if size in measured.samples and not problem:
                taken[size] = name
            elif size in measured.samples:
                self._site.say.note(f"{recipe}, batch {size}: no profile: {problem}")
        return taken
