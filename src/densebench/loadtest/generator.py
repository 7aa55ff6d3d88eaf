"""One run of MLCommons LoadGen: its settings, its callbacks, and its figures out of its own log.

https://github.com/mlcommons/inference/tree/master/loadgen and Reddi et al., MLPerf Inference Benchmark, ISCA 2020.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from densebench.loadtest.plan import Run, Sample, Scenario
from densebench.measure.answering import IMAGES
from densebench.stats.samples import samples_needed

P99_SAMPLES = samples_needed(99)
_SCENARIOS: dict[Scenario, str] = {"single-stream": "SingleStream", "offline": "Offline", "server": "Server"}
_RATES: dict[Scenario, str] = {
    "single-stream": "result_qps_with_loadgen_overhead",
    "offline": "result_samples_per_second",
    "server": "result_completed_samples_per_sec",
}


@dataclass(frozen=True)
class Load:
    """How much of what.

    Args:
        scenario: when queries come.
        seed: of the arrivals and of which image each query asks for.
        seconds: how long, at least; offline this is only a matter of `samples`.
        samples: single-stream and server: at least so many; offline: the one query's size.
        per_s: server: arrivals per second; single-stream: how many there will be at most.
        most_waiting: server: end the run once more queries than this are unanswered; 0 for never.

    """

    scenario: Scenario
    seed: int
    samples: int = 1
    seconds: float = 0.0
    per_s: float = 1.0
    most_waiting: int = 0


def generate(load: Load, issue: Callable[[Sequence[Sample]], None]) -> Run:
    """Have LoadGen put a load on `issue`, which takes LoadGen's samples and must see to it that each is completed.

    Percentiles are LoadGen's: the sample at rank floor(n p), none interpolated.
    """
    import mlperf_loadgen as loadgen

    nothing = loadgen.LogSettings()
    nothing.enable_trace = False
    nothing.log_output.copy_summary_to_stdout = False
    system = loadgen.ConstructSUT(issue, lambda: None)
    # The streams made their images when they were opened, so there is nothing to load here.
    images = loadgen.ConstructQSL(IMAGES, IMAGES, lambda numbers: None, lambda numbers: None)
    try:
        with TemporaryDirectory(prefix="densebench-load-") as folder:
            nothing.log_output.outdir = folder
            loadgen.StartTestWithLogSettings(system, images, _settings(loadgen, load), nothing)
            return parse(load, (Path(folder) / "mlperf_log_detail.txt").read_text(encoding="utf-8"))
    finally:
        loadgen.DestroySUT(system)
        loadgen.DestroyQSL(images)


def complete(samples: Sequence[Sample]) -> None:
    """Tell LoadGen that these are answered."""
    import mlperf_loadgen as loadgen

    loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples])


def version() -> str:
    """Which LoadGen."""
    from importlib.metadata import version as version_of

    return version_of("mlcommons-loadgen")


def _settings(loadgen: Any, load: Load) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _SCENARIOS[load.scenario])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = load.seed
    settings.min_duration_ms = round(1000 * load.seconds)
    settings.min_query_count = load.samples
    settings.server_target_qps = load.per_s
    settings.server_max_async_queries = load.most_waiting
    settings.single_stream_expected_latency_ns = round(1e9 / load.per_s)
    settings.offline_expected_qps = 1e-9  # with no duration asked for, `min_query_count` alone decides
    return settings


def parse(load: Load, log: str) -> Run:
    """The figures in `mlperf_log_detail.txt`."""
    said = {}
    for line in log.splitlines():
        entry = json.loads(line.removeprefix(":::MLLOG "))
        said[entry["key"]] = entry["value"]
    rate = float(said[_RATES[load.scenario]])
    one_query = load.scenario == "offline"
    samples = load.samples if one_query else int(said["result_query_count"])

    def latency_ms(percent: int) -> float | None:
        if one_query or samples < samples_needed(percent):
            return None
        return float(said[f"result_{percent}.00_percentile_latency_ns"]) / 1e6

    return Run(
        samples=samples,
        duration_s=samples / rate,
        samples_per_s=rate,
        latency_p50_ms=latency_ms(50),
        latency_p90_ms=latency_ms(90),
        latency_p99_ms=latency_ms(99),
        target_per_s=load.per_s if load.scenario == "server" else None,
        arrived_per_s=said.get("result_scheduled_samples_per_sec") if load.scenario == "server" else None,
    )
