"""The three scenarios, each from an opened system to the runs that answer it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from densebench.load.generator import P99_SAMPLES, Load, generate
from densebench.load.plan import Request, Run
from densebench.load.search import highest_rate
from densebench.measure.disturbance import Watch

Issue = Callable[[Sequence[Any]], None]
Say = Callable[[str], None]
Answer = tuple[list[Run], int | None]  # all runs, and which of them is quoted

PILOT_BATCHES = 4  # a stream, to learn the speed
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
    """Poisson arrivals at one rate after the other. All have the same seed, so they differ by nothing but speed."""
    runs: list[Run] = []

    def holds(per_s: float) -> bool:
        load = Load("server", request.seed, P99_SAMPLES, request.seconds, per_s)
        runs.append(_watched(request, load, issue))
        p99_ms = runs[-1].latency_p99_ms
        assert p99_ms is not None, "LoadGen sends at least as many queries as a p99 needs"
        say(f"server: {per_s:.1f} queries/s, p99 {p99_ms:.1f} ms")
        return p99_ms <= request.target_p99_ms

    found = highest_rate(holds, pilot.samples_per_s / 2)
    rates = [made.target_per_s for made in runs]
    return runs, None if found is None else rates.index(found)


def _pilot(request: Request, issue: Issue) -> Run:
    """How fast it is when it is never idle, roughly."""
    return generate(
        Load("offline", request.seed, PILOT_BATCHES * request.streams * request.batch_size), issue
    )


def _watched(request: Request, load: Load, issue: Issue) -> Run:
    watch = Watch(request.device, request.threads)
    watch.begin()
    made = generate(load, issue)
    return made.model_copy(update={"disturbance": watch.end()})
