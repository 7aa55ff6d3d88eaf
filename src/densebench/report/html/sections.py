"""The report's charts, section by section, in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densebench.report.html import cost_charts
from densebench.report.html.batch_charts import over_batch_size
from densebench.report.html.ceiling_chart import ceiling_bars
from densebench.report.html.chart import Chart
from densebench.report.html.latency_chart import distributions
from densebench.report.html.operator_chart import operators, profiled
from densebench.report.html.pareto_chart import pareto
from densebench.report.html.roofline_chart import roofline
from densebench.report.html.style import Series
from densebench.report.pareto import undominated
from densebench.report.sweep import Finding, Sweep, apply
from densebench.results.record import Row


@dataclass(frozen=True)
class Section:
    """A heading with its charts, or with the reason why there are none."""

    name: str
    heading: str
    charts: tuple[Chart, ...]
    absent: str
    said: tuple[Finding, ...] = ()


def sections(
    sweep: Sweep,
    series: Sequence[Series],
    chosen: Row | None,
    log_dirs: Sequence[Path],
) -> list[Section]:
    """All sections, those without data too: what was not measured is said."""
    nothing = "No row was timed."
    return [
        _section(
            "accuracy",
            "Throughput against accuracy",
            (pareto(sweep, series),),
            "The accuracy of no timed row was measured." if sweep.timed else nothing,
            tuple(apply((undominated,), sweep)),
        ),
        _section("batch", "Throughput and latency over the batch size", _speeds(series), nothing),
        _section(
            "memory",
            "Memory and size",
            (*cost_charts.memory(series), cost_charts.size(series)),
            "Neither memory nor size was measured.",
        ),
        _section("latency", "How latencies spread", (distributions(series),), nothing),
        _section(
            "operators",
            "Where the time goes",
            (_operators(sweep, series, chosen, log_dirs),),
            "No profiler trace of these rows was found"
            + (f" in {', '.join(str(folder) for folder in log_dirs)}." if log_dirs else "."),
        ),
        _section(
            "roofline",
            "Roofline: how close to the machine's ceiling",
            _ceilings(sweep, series),
            "Not measured: the records hold no share of this machine's ceiling.",
        ),
        _section(
            "build",
            "Build cost, break-even and start",
            (cost_charts.build_time(series), cost_charts.break_even(series), cost_charts.start(series)),
            "No build was timed.",
        ),
    ]


def _section(
    name: str, heading: str, charts: Sequence[Chart | None], absent: str, said: tuple[Finding, ...] = ()
) -> Section:
    return Section(name, heading, tuple(chart for chart in charts if chart is not None), absent, said)


def _speeds(series: Sequence[Series]) -> Sequence[Chart | None]:
    latency = "Median time of one batch (ms)"
    return (
        over_batch_size(series, "throughput_samples_per_s", "Throughput", "Throughput (images/s)"),
        over_batch_size(series, "latency_p50_ms", "Median latency", latency, log=True),
    )


def _ceilings(sweep: Sweep, series: Sequence[Series]) -> Sequence[Chart | None]:
    share = "Share of its precision's ceiling"
    return (
        roofline(series, sweep.ceilings),
        ceiling_bars(series, sweep.ceilings),
        over_batch_size(series, "roofline_fraction", share, "Share of the ceiling (1 is all)"),
    )


def _operators(
    sweep: Sweep, series: Sequence[Series], chosen: Row | None, log_dirs: Sequence[Path]
) -> Chart | None:
    """At the recommended batch size, or else at the largest one that has traces: reading them all takes long."""
    first = [chosen.batch_size] if chosen is not None else []
    for size in dict.fromkeys([*first, *reversed(sweep.batch_sizes)]):
        found = profiled(series, size, log_dirs)
        if found:
            return operators(found, size)
    return None
