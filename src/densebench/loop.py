"""The parent's story: plan, execute, write down, report.

A planner reads the observations so far and names the next task. An executor carries it out. Each observation goes
into the journal before anything else happens. Everything heavy happens in children. The module isn't called `run`,
since `densebench.run` is a function.
"""

from __future__ import annotations

from contextlib import ExitStack

from densebench.executors.local import LocalExecutor
from densebench.executors.opening import header_of, opened, request_of
from densebench.output.written import Outcome, open_journal, prepared, write_results
from densebench.planners.sweep import Request, gone_contenders, next_task, rows
from densebench.processes.interrupts import uninterrupted
from densebench.recipes.parse import plan
from densebench.report.answer import answer_tags
from densebench.report.facts import sweep_of
from densebench.results.assemble import confirmation_records
from densebench.results.journal import Journal
from densebench.results.observation import Observation
from densebench.sinks.live import Live
from densebench.sinks.mlflow import MlflowSink
from densebench.sinks.progress import Progress
from densebench.sinks.tensorboard import TensorBoardSink
from densebench.spec import RunSpec
from densebench.text import joined


def run(spec: RunSpec, progress: Progress, command: str = "") -> Outcome:
    """Carry out a sweep; docs/usage.md has what it leaves in the output folder.

    Raises:
        UsageError: the request can't be carried out; nothing was written.

    """
    recipes = plan(spec.recipes, spec.named)
    with (
        ExitStack() as shield,
        prepared(spec, progress) as (whole, log),
        opened(whole, recipes, progress, log) as site,
    ):
        logged = (
            MlflowSink(whole.mlflow, whole.output_dir) if whole.mlflow else None
        )  # refused before any row
        journal, header, observations = open_journal(whole, header_of(site, command), recipes, site.pool)
        executor = LocalExecutor(site)
        request = request_of(site, header, observations, executor.lost(observations))
        live = Live(request, site.workload, observations, progress, TensorBoardSink(whole.log_dir))
        interrupted = _carry_out(request, executor, journal, observations, live, shield)
        if not interrupted and (gone := gone_contenders(request, observations)):
            progress.note(
                f"the choice can't be confirmed: the artifact of {joined(gone)} is gone or damaged; "
                "a new run builds it again"
            )
        shield.enter_context(uninterrupted())
        found, fresh = rows(request, observations), confirmation_records(observations, header.identity)
        written = write_results(whole, header, found, fresh)
        if logged:
            shield.close()  # a server may take its time
            progress.note(logged.log(found, answer_tags(sweep_of(header, found, fresh))))
    return Outcome(found, header, whole.output_dir, fresh, written, interrupted, request.cells)


def _carry_out(
    request: Request,
    executor: LocalExecutor,
    journal: Journal,
    observations: list[Observation],
    live: Live,
    shield: ExitStack,
) -> bool:
    """Task after task; whether it was interrupted. From then on further interrupts are ignored: `shield` has it."""
    try:
        while (task := next_task(request, observations)) is not None:
            live.begin(task)
            for one in executor.run(task):
                journal.append(one)
                observations.append(one)
                live.tell(one)
    except KeyboardInterrupt:
        shield.enter_context(uninterrupted())
        live.interrupted()
        executor.close()
        return True
    finally:
        live.close()
        journal.close()
    return False
