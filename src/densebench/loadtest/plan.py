"""What is asked of a loaded artifact, and what was found. Both cross the pipe to the child as JSON."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from densebench.measure import answering
from densebench.schema import Frozen

Scenario = Literal["single-stream", "offline", "server"]
# what a run may take beyond the seconds asked for, to get the queries that a p99 needs: seconds, and times those
LONGER_S, TIMES = 300.0, 20
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)


class Sample(Protocol):
    """One image that LoadGen asks for: which one, and the number to answer it under."""

    id: int
    index: int


class Request(answering.Request):
    """One artifact, one scenario; the batch size is 1 unless offline."""

    scenario: Scenario
    seconds: float
    target_p99_ms: float  # server only

    @property
    def longest_run_s(self) -> float:
        """Seconds that one run may take."""
        return LONGER_S + TIMES * self.seconds


class Run(Frozen):
    """One run of the load generator. Latencies are of single queries, blank where the sample is too small."""

    samples: int
    duration_s: float
    samples_per_s: float
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_p99_ms: float | None = None
    target_per_s: float | None = None  # server only: arrivals asked for
    arrived_per_s: float | None = None  # and as the seed drew them
    interference: str = ""  # what else used the machine meanwhile


class Found(Frozen):
    """All runs in their order, and which of them is the answer: None where no rate held the bound."""

    runs: tuple[Run, ...]
    best: int | None
    loadgen: str  # its version

    @property
    def answer(self) -> Run | None:
        """The run that is quoted."""
        return None if self.best is None else self.runs[self.best]
