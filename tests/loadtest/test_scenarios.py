"""LoadGen itself against streams that stand in for a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from densebench.errors import UsageError
from densebench.loadtest import plan, scenarios
from densebench.loadtest.desk import Desk
from densebench.loadtest.generator import P99_SAMPLES, Load, complete, generate
from densebench.loadtest.plan import Request, Run
from densebench.measure.answering import IMAGES

QUIET: Callable[[str], None] = lambda stage: None  # noqa: E731 - a name for what it is for


class Fake:
    """Notes the batches that it is given and takes a fixed time for each."""

    def __init__(self, service_s: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.state = "new"
        self._service_s = service_s

    def open(self) -> None:
        self.state = "open"

    def run(self, numbers: Sequence[int]) -> None:
        self.batches.append(list(numbers))
        time.sleep(self._service_s)

    def close(self) -> None:
        self.state = "closed"


def request(**changes: object) -> Request:
    """A request with these fields."""
    plain = {
        "folder": Path(),
        "scenario": "server",
        "device": "cpu",
        "shape": (3, 16, 16),
        "batch_size": 1,
        "streams": 1,
        "threads": 1,
        "seconds": 0.05,
        "target_p99_ms": 50.0,
        "seed": 5,
        "trust": False,
    }
    return Request.model_validate(plain | changes)


@contextmanager
def desk(streams: Sequence[Fake], batch_size: int = 1) -> Iterator[Desk]:
    """A desk that these streams work at."""

    def failed(error: BaseException) -> None:
        raise error

    opened = Desk(streams, batch_size, complete, failed)
    yield opened
    opened.close()


def test_single_stream_asks_one_after_the_other():
    """The next query comes when the last is answered; figures are those of the queries that were answered."""
    fake = Fake(0.001)
    with desk([fake]) as opened:
        runs, best = scenarios.run(request(scenario="single-stream", seconds=0.1), opened.issue, QUIET)
    (run,) = runs
    assert best == 0
    assert run.duration_s >= 0.09
    assert run.samples == len(fake.batches) - scenarios.PILOT_BATCHES
    assert run.latency_p50_ms is not None
    assert run.latency_p50_ms >= 1
    assert run.samples_per_s <= 1000
    assert fake.state == "closed"


def test_percentiles_wait_for_their_samples():
    """A p99 is blank below 299 queries and there from then on."""
    with desk([Fake()]) as opened:
        small = generate(Load("single-stream", 0, P99_SAMPLES - 1, per_s=1e6), opened.issue)
        large = generate(Load("single-stream", 0, P99_SAMPLES, per_s=1e6), opened.issue)
    assert (small.samples, small.latency_p99_ms) == (P99_SAMPLES - 1, None)
    assert small.latency_p90_ms is not None
    assert large.samples == P99_SAMPLES
    assert large.latency_p99_ms is not None


def test_offline_counts_images_not_padding():
    """One query is cut into batches for all streams; its count is of the images that were asked for."""
    fakes = [Fake(0.001), Fake(0.001)]
    with desk(fakes, 4) as opened:
        run = generate(Load("offline", 0, 10), opened.issue)
    sizes = sorted(len(batch) for fake in fakes for batch in fake.batches)
    assert sizes == [2, 4, 4]
    assert run.samples == 10
    assert all(number < IMAGES for fake in fakes for batch in fake.batches for number in batch)
    assert run.latency_p50_ms is run.latency_p99_ms is None


def test_streams_work_at_once():
    """A batch of each stream is in work at the same time: two that wait for each other both get on."""
    meeting = threading.Barrier(2, timeout=20)

    class Meeting(Fake):
        def run(self, numbers: Sequence[int]) -> None:
            super().run(numbers)
            meeting.wait()

    fakes = [Meeting(), Meeting()]
    with desk(fakes) as opened:
        generate(Load("offline", 0, 8), opened.issue)
    assert [len(fake.batches) for fake in fakes] == [4, 4]


def test_arrivals_are_those_of_the_seed():
    """The same seed asks for the same images in the same order; another seed for others."""
    asked = []
    for seed in (1, 1, 2):
        fake = Fake()
        with desk([fake]) as opened:
            generate(Load("server", seed, 50, per_s=5000), opened.issue)
        asked.append(fake.batches)
    assert asked[0] == asked[1] != asked[2]


def test_a_run_that_has_lost_is_ended():
    """Arrivals fifty times too fast are not all waited for, and the run doesn't count as one that holds."""
    fake = Fake(0.005)
    asked = request(target_p99_ms=5, seconds=0.2)
    waiting = scenarios.hopeless(asked, 10_000, 200)
    with desk([fake]) as opened:
        run = generate(Load("server", 0, P99_SAMPLES, 0.2, 10_000, waiting), opened.issue)
    assert run.samples == len(fake.batches) < 200
    assert not scenarios.within(run, asked.target_p99_ms)


@pytest.mark.parametrize(("p99_ms", "holds"), [(None, False), (49.9, True), (50.0, True), (50.1, False)])
def test_only_a_known_p99_holds(p99_ms, holds):
    """A run too small for a p99 holds no bound."""
    run = Run(samples=300, duration_s=1, samples_per_s=300, latency_p99_ms=p99_ms)
    assert scenarios.within(run, 50.0) is holds


def test_the_server_s_answer_is_a_run_that_held():
    """With a bound that anything holds the answer is the fastest rate that did, and once more; it has a p99."""
    with desk([Fake(0.001)]) as opened:
        runs, best = scenarios.run(request(target_p99_ms=10_000), opened.issue, QUIET)
    assert best is not None
    held = [run for run in runs[1:] if scenarios.within(run, 10_000)]
    assert best == len(runs) - 1
    assert runs[best] in held
    assert runs[best].target_per_s <= max(run.target_per_s for run in held[:-1])
    assert runs[best].target_per_s <= 2 * 1000  # answers half as fast as was asked are none
    assert runs[best].samples >= P99_SAMPLES


@pytest.mark.parametrize("lucky", [1, 3, 100])
def test_a_rate_that_held_by_luck_is_no_answer(monkeypatch, lucky):
    """What the search ends with has to hold with other arrivals too, or a rate some steps lower has; or none has."""
    asked: list[Load] = []

    def one(load: Load, issue: object) -> Run:
        asked.append(load)
        confirming = load.seed != 5
        late = confirming and sum(other.seed != 5 for other in asked) <= lucky
        rate = load.per_s or 100.0
        p99_ms = 1000.0 if late or rate > 400 else 10.0
        return Run(
            samples=P99_SAMPLES,
            duration_s=1,
            samples_per_s=rate,
            target_per_s=rate if load.scenario == "server" else None,
            latency_p99_ms=p99_ms,
        )

    monkeypatch.setattr(scenarios, "generate", one)
    asking = request(seconds=30.0)  # the pilot says one query a second
    runs, best = scenarios.run(asking, lambda queries: None, QUIET)
    tried = [
        load.per_s for load in asked if load.seed == 5 and load.scenario == "server" and load.per_s <= 400
    ]
    if lucky < 100:
        assert best == len(runs) - 1
        assert runs[best].target_per_s == pytest.approx(max(tried) * 0.95**lucky)
    else:
        assert best is None
        assert sum(load.seed != 5 for load in asked) == scenarios.MOST_CONFIRMING


def test_no_run_takes_longer_than_it_may(monkeypatch):
    """Else the parent takes the child for stuck, and all is lost: at low rates 299 queries take minutes."""
    pilot = Run(samples=4, duration_s=0.04, samples_per_s=100.0)
    tried, said = [], []

    def watched(request: Request, load: Load, issue: object) -> Run:
        tried.append(load.per_s)
        return pilot.model_copy(update={"latency_p99_ms": 10.0 if load.scenario != "server" else 99.0})

    monkeypatch.setattr(scenarios, "_watched", watched)
    monkeypatch.setattr(scenarios, "LONGER_S", 3.0)
    monkeypatch.setattr(plan, "LONGER_S", 3.0)
    asked = request(seconds=0.5)  # so 13 s, in which 299 queries come at 23 a second
    assert scenarios.server(asked, lambda samples: None, pilot, said.append)[1] is None
    assert tried[1:] == [50.0, 25.0]
    assert said[-1] == "server: 1.6 queries/s, not tried: a p99 would take 191 s"
    slow = pilot.model_copy(update={"samples_per_s": 10.0})
    with pytest.raises(
        UsageError, match="a p99 needs 299 queries, which take 30 s here: give --seconds 2 or more"
    ):
        scenarios.server(asked, lambda samples: None, slow, said.append)
    busy = pilot.model_copy(update={"samples_per_s": 40.0})  # of four streams, one of which answers alone
    with pytest.raises(UsageError, match="take 30 s here"):
        scenarios.server(request(seconds=0.5, streams=4), lambda samples: None, busy, said.append)


def test_no_rate_is_tried_where_one_query_is_too_slow():
    """When one query at a time takes longer than the bound, that run alone is made, and there is no answer."""
    with desk([Fake(0.002)]) as opened:
        runs, best = scenarios.run(request(target_p99_ms=1.0), opened.issue, QUIET)
    assert best is None
    assert [run.target_per_s for run in runs] == [None]
