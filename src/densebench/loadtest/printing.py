"""`densebench load`: carry it out and print what was found."""

from __future__ import annotations

import json
import sys

from rich import box
from rich.console import Console
from rich.table import Table

from densebench.artifacts.manifest import Manifest
from densebench.loadtest.asking import Asked, request
from densebench.loadtest.parent import load_test
from densebench.loadtest.plan import Found, Request, Run
from densebench.loadtest.scenarios import within
from densebench.machine.cpus import kept_on, placement
from densebench.machine.facts import allowed_cpus
from densebench.stats.samples import samples_needed


def print_load(asked: Asked, console: Console, *, as_json: bool) -> None:
    """Put a saved model under load and print the figures; progress goes to standard error.

    Raises:
        UsageError: it can't be carried out; CellFailed: the artifact failed under load.

    """
    todo, manifest = request(asked)
    with kept_on(placement(asked.threads).cpus):
        found = load_test(todo, manifest, lambda stage: print(stage, file=sys.stderr, flush=True))
    if as_json:
        print(json.dumps(facts(todo, manifest, found), indent=1))
        return
    console.print(sentence(todo, found), style="bold", highlight=False, markup=False, soft_wrap=True)
    table = Table(show_header=False, box=box.SIMPLE)
    for name, value in lines(todo, manifest, found):
        table.add_row(name, value)
    console.print(table)


def facts(todo: Request, manifest: Manifest, found: Found) -> dict[str, object]:
    """All of it, for a program: `answer` is the run that is quoted, or null."""
    server = todo.scenario == "server"
    return {
        "artifact": str(todo.folder),
        "model": manifest.model,
        "recipe": manifest.recipe,
        "image_size": todo.shape[-1],
        **todo.model_dump(
            mode="json", include={"scenario", "device", "batch_size", "streams", "threads", "seed"}
        ),
        "target_p99_ms": todo.target_p99_ms if server else None,
        "loadgen": found.loadgen,
        "answer": found.answer.model_dump() if found.answer else None,
        "runs": [run.model_dump() for run in found.runs],
    }


def sentence(todo: Request, found: Found) -> str:
    """The answer in a line."""
    run = found.answer
    if run is None:
        return _no_answer(todo.target_p99_ms, found.runs)
    match todo.scenario:
        case "single-stream":
            return f"one query at a time: median {_ms(run, 50)}, p99 {_ms(run, 99)}"
        case "offline":
            return f"{run.samples_per_s:.1f} images/s at batch {todo.batch_size} in {_streams(todo)}"
        case "server":
            return (
                f"{run.target_per_s:.1f} queries/s is the highest rate found with p99 <= {todo.target_p99_ms:g} ms: "
                f"there p99 was {_ms(run, 99)}"
            )


def _no_answer(bound_ms: float, runs: tuple[Run, ...]) -> str:
    """Why no rate is quoted: none held the bound, or one did that didn't hold it once more."""
    if len(runs) == 1 and within(runs[0], bound_ms):
        return (
            "no rate was tried: a p99 of random arrivals would take too long at any that this artifact may hold; one "
            f"query at a time has {_ms(runs[0], 99)}: give more --seconds"
        )
    tried = runs[1:] or runs
    held = [run for run in tried if within(run, bound_ms)]
    failed = min((run for run in tried if run not in held), key=_rate)
    if not held:
        return f"no rate held p99 <= {bound_ms:g} ms: {_lost(bound_ms, failed)}"
    best = max(held, key=_rate)
    return (
        f"no rate held p99 <= {bound_ms:g} ms twice: {_rate(best):.1f} queries/s held once (p99 {_ms(best, 99)}), "
        f"but with other arrivals none tried from there down to {_rate(failed):.1f} queries/s did"
    )


def _lost(bound_ms: float, lowest: Run) -> str:
    """How the lightest load went that was tried."""
    if lowest.target_per_s is None:
        return f"one query at a time has {_ms(lowest, 99)}"
    if lowest.latency_p99_ms is None:
        went = "it fell behind"
    elif lowest.latency_p99_ms <= bound_ms:
        went = f"only {lowest.samples_per_s:.1f} queries/s were answered"
    else:
        went = f"it was {_ms(lowest, 99)}"
    return f"at the lowest tried, {lowest.target_per_s:.1f} queries/s, {went}"


def _rate(run: Run) -> float:
    return run.target_per_s or 0.0


def lines(todo: Request, manifest: Manifest, found: Found) -> list[tuple[str, str]]:
    """What stands under the answer: name and value."""
    run = found.answer or found.runs[-1]
    said = [("recipe", f"{manifest.recipe} ({manifest.model}, {todo.shape[-1]} px, {todo.device})")]
    if todo.scenario != "offline":
        said += [(f"p{percent}", _ms(run, percent)) for percent in (50, 90, 99)]
    if todo.scenario == "server":
        arrivals = "one at a time" if run.target_per_s is None else f"{run.target_per_s:.1f} queries/s"
        said += [("arrivals", arrivals), ("runs", str(len(found.runs)))]
    rate = "images/s" if todo.scenario == "offline" else "queries/s answered"
    return [
        *said,
        (rate, f"{run.samples_per_s:.1f}"),
        ("images", f"{run.samples} in {run.duration_s:.1f} s"),
        ("batch size", str(todo.batch_size)),
        ("streams", _streams(todo)),
        ("seed", str(todo.seed)),
        ("LoadGen", found.loadgen),
        ("interference", run.interference or "none seen"),
    ]


def _streams(todo: Request) -> str:
    several = f"{todo.streams} stream{'s' * (todo.streams > 1)}"
    each = " each" if todo.streams > 1 else ""
    cpus, threads = allowed_cpus(), todo.streams * todo.stream_threads
    crowd = f" on {cpus} CPU{'s' * (cpus > 1)}: they wait for one another" if threads > cpus else ""
    return f"{several} of {todo.stream_threads} thread{'s' * (todo.stream_threads > 1)}{each}{crowd}"


def _ms(run: Run, percent: int) -> str:
    latency = {50: run.latency_p50_ms, 90: run.latency_p90_ms, 99: run.latency_p99_ms}[percent]
    if latency is None:
        return f"not known from {run.samples} queries ({samples_needed(percent)} are needed: more --seconds)"
    return f"{latency:.2f} ms"
