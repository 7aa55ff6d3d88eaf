"""The three scenarios, each from an opened system to the runs that answer it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from densebench.errors import UsageError
from densebench.loadtest.generator import P99_SAMPLES, Load, generate
from densebench.loadtest.plan import LONGER_S, TIMES, Request, Run, Sample
from densebench.loadtest.search import TOLERANCE, highest_rate
from densebench.machine.interference import Watch, told

Issue = Callable[[Sequence[Sample]], None]
Say = Callable[[str], None]
Answer = tuple[list[Run], int | None]  # all runs, and which of them is quoted

MOST_CONFIRMING = 6  # rates, each a step of the search's tolerance below the one before
PILOT_BATCHES = 4  # a stream, to learn the speed
KEPT_UP = 0.9  # share of the arrivals' rate; below it a queue was growing, however loose the bound
HEADROOM = 4.0  # LoadGen makes its queries before the clock starts: enough of them for a faster system too


def run(request: Request, issue: Issue, say: Say) -> Answer:
    """Put the scenario's load on `issue`."""
    pilot = _pilot(request, issue)
    match request.scenario:
        case "single-stream":
            return single_stream(request, issue, pilot, say)
        case "offline":
            return offline(request, issue, pilot, say)
        case "server":
            return server(request, issue, pilot, say)


def single_stream(request: Request, issue: Issue, pilot: Run, say: Say) -> Answer:
    """Each query as soon as the one before it is answered, for as long as was asked for."""
    say(f"single-stream: {request.seconds:g} s")
    most = HEADROOM * pilot.samples_per_s
    load = Load("single-stream", request.seed, seconds=request.seconds, per_s=most)
    return [_watched(request, load, issue)], 0


def offline(request: Request, issue: Issue, pilot: Run, say: Say) -> Answer:
    """One query of as many images as will take the time that was asked for, in whole batches for every stream."""
    together = request.streams * request.batch_size
    samples = together * max(1, math.ceil(pilot.samples_per_s * request.seconds / together))
    say(f"offline: {samples} images")
    return [_watched(request, Load("offline", request.seed, samples), issue)], 0


def server(request: Request, issue: Issue, pilot: Run, say: Say) -> Answer:
    """Poisson arrivals at one rate after the other. All have the same seed, so they differ by nothing but speed.

    The search keeps the best of tries that are noisy. So its rate has to hold once more, with other arrivals, or the
    next lower one has. Before that one query at a time: where those are too slow, no rate is tried. Nor is a rate at
    which the queries of a p99 would take longer than a run may.

    Raises:
        UsageError: not even one after the other they would.

    """
    runs: list[Run] = []
    longest_s = request.longest_run_s
    needed_s = P99_SAMPLES * request.streams / pilot.samples_per_s  # the pilot kept all streams busy
    if needed_s > longest_s:
        raise UsageError(
            f"a p99 needs {P99_SAMPLES} queries, which take {needed_s:.0f} s here: give --seconds "
            f"{math.ceil((needed_s - LONGER_S) / TIMES)} or more"
        )
    alone = Load("single-stream", request.seed, P99_SAMPLES, per_s=HEADROOM * pilot.samples_per_s)
    runs.append(_watched(request, alone, issue))
    say(f"server: one query at a time, {_p99(runs[0])}")
    if not within(runs[0], request.target_p99_ms):
        return runs, None

    def holds(per_s: float, seed: int = request.seed) -> bool:
        if P99_SAMPLES / per_s > longest_s:
            say(f"server: {per_s:.2g} queries/s, not tried: a p99 would take {P99_SAMPLES / per_s:.0f} s")
            return False
        waiting = hopeless(request, per_s, HEADROOM * pilot.samples_per_s)
        load = Load("server", seed, P99_SAMPLES, request.seconds, per_s, waiting)
        runs.append(_watched(request, load, issue))
        say(f"server: {per_s:.1f} queries/s, {_p99(runs[-1])}")
        return within(runs[-1], request.target_p99_ms)

    found = highest_rate(holds, pilot.samples_per_s / 2)
    for other in range(MOST_CONFIRMING if found else 0):
        assert found is not None
        if holds(found, request.seed + 1 + other):
            return runs, len(runs) - 1
        found *= 1 - TOLERANCE
    return runs, None


def within(run: Run, bound_ms: float) -> bool:
    """Whether it is seen to hold: not if it was ended, is too small for a p99, or answered slower than was asked."""
    if run.latency_p99_ms is None or run.latency_p99_ms > bound_ms:
        return False
    return run.arrived_per_s is None or run.samples_per_s >= KEPT_UP * run.arrived_per_s


def hopeless(request: Request, per_s: float, most_per_s: float) -> int:
    """How many unanswered queries mean that the bound is lost, so that the run need not go on.

    A system that answers at most `most_per_s` answers that times the bound in time. If those that are left then
    are more than 1 % of the run's queries, its p99 is above the bound.
    """
    queries = max(P99_SAMPLES, per_s * request.seconds)
    return math.ceil(most_per_s * request.target_p99_ms / 1000 + 0.01 * queries) + 1


def _p99(run: Run) -> str:
    if run.latency_p99_ms is None:
        return f"fell behind after {run.samples} queries"
    return f"p99 {run.latency_p99_ms:.1f} ms"


def _pilot(request: Request, issue: Issue) -> Run:
    """How fast it is when it is never idle, roughly."""
    return generate(
        Load("offline", request.seed, PILOT_BATCHES * request.streams * request.batch_size), issue
    )


def _watched(request: Request, load: Load, issue: Issue) -> Run:
    watch = Watch(request.device, request.threads)
    watch.begin(at_work=False)  # one that waits for arrivals is at rest before
    made = generate(load, issue)
    return made.model_copy(update={"interference": told(watch.end())})
