"""Rules about what a recipe costs: bytes, memory, the time to build and to start, and its caveats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mode

from densebench.report.sweep import Finding, Sweep, finding
from densebench.results.observation import Status
from densebench.results.record import Row
from densebench.schema import Caveat
from densebench.spec import BASELINE
from densebench.text import duration, joined, short

FAR = 0.2  # share: throughputs of one artifact that differ by more are told
_CAVEATS = {  # kind, in the order of the report -> the topic, and how the recipes are named before the caveat
    "deprecation": ("deprecation", "A deprecated format, {0}"),
    "portability": ("portability", "Not portable, {0}"),
    "other": ("caveats", "{0}"),
}


def file_size(sweep: Sweep) -> Iterator[Finding]:
    """The smallest artifact, and those larger than the baseline's."""
    sizes = sweep.facts("model_size_mb")
    if len(sizes) < 2:
        return
    least = min(size for size, _ in sizes)
    smallest = [row.recipe for size, row in sizes if size <= 1.01 * least]
    base = sweep.fact(BASELINE, "model_size_mb")
    if BASELINE in smallest:
        yield finding(
            "size", f"No file is smaller than the baseline's {short(least)} MB.", (r for _, r in sizes)
        )
    else:
        against = f", against {short(base[0])} MB for the baseline" if base else ""
        sentence = f"Smallest file: {joined(smallest)} with {short(least)} MB{against}."
        yield finding("size", sentence, (row for _, row in sizes))
    larger = [(size, row) for size, row in sizes if base and size > 1.05 * base[0]]
    if larger and base:
        names = joined([f"{row.recipe} ({short(size)} MB)" for size, row in larger])
        sentence = f"Larger than the baseline's {short(base[0])} MB: {names}."
        yield finding("size", sentence, (row for _, row in larger))


def memory(sweep: Sweep) -> Iterator[Finding]:
    """The least and the most peak memory, at the largest batch size that two recipes share.

    On the host that of programs of their own, where known: a measuring process holds a framework that few need.
    """
    programs = _programs(sweep, "deploy_memory_mb")
    figures = [("vram_driver_peak_mb", "GPU memory")]
    figures += [] if programs else [("host_memory_peak_mb", "host memory")]
    for figure, kind in figures:
        for size in reversed(sweep.batch_sizes):
            rows = [row for row in sweep.at(size) if getattr(row, figure) is not None]
            if len(rows) > 1:
                yield _least_and_most(f"Peak {kind} at batch {size}", figure, rows)
                break
    if programs:
        what = f"Peak memory of a program of your own at batch {programs[0].deploy_batch_size}"
        yield _least_and_most(what, "deploy_memory_mb", programs)


def _least_and_most(what: str, figure: str, rows: Sequence[Row]) -> Finding:
    ranked = sorted(rows, key=lambda row: float(getattr(row, figure)))
    least, most = ranked[0], ranked[-1]
    base = next((row for row in rows if row.recipe == BASELINE and row not in (least, most)), None)
    middle = f", {_mb(base, figure)} for the baseline" if base else ""
    floor = least.host_memory_floor_mb if figure == "host_memory_peak_mb" else None
    inside = f" (the loaded framework alone: {floor:.0f} MB)" if floor is not None else ""
    return finding(
        "memory",
        f"{what}: least with {least.recipe}, {_mb(least, figure)}{inside}{middle}; "
        f"most with {most.recipe}, {_mb(most, figure)}.",
        ranked,
    )


def _programs(sweep: Sweep, figure: str) -> list[Row]:
    """A row of each recipe whose own program told the figure, at the batch size that most were run at; two at least.

    Recipes that a resume added may have been run at another batch size.
    """
    rows = [row for _, row in sweep.facts(figure)]
    sizes = [row.deploy_batch_size for row in rows if row.deploy_batch_size is not None]
    alike = [row for row in rows if sizes and row.deploy_batch_size == mode(sizes)]
    return alike if len(alike) > 1 else []


def start_up(sweep: Sweep) -> Iterator[Finding]:
    """The longest build, the slowest first inference, and the quickest and the slowest start."""
    builds = [(s, row) for s, row in sweep.facts("build_s") if row.recipe != BASELINE]
    if builds:
        seconds, row = max(builds, key=lambda pair: pair[0])
        paid = row.break_even_images
        after = f", paid back after {paid} images at batch {row.batch_size}" if paid is not None else ""
        yield finding("start", f"Longest build: {row.recipe} with {duration(seconds)}{after}.", [row])
    firsts = [
        (1000 * s / row.latency_p50_ms, s, row)
        for s, row in sweep.facts("first_inference_s")
        if row.latency_p50_ms is not None
    ]
    if firsts:
        ratio, seconds, row = max(firsts, key=lambda triple: triple[1])
        yield finding(
            "start",
            f"Slowest first inference: {row.recipe} with {duration(seconds)} at batch {row.batch_size}, "
            f"{short(ratio, 2)} times its median after warm-up.",
            [row],
        )
    starts = [(row.deploy_start_s or 0.0, row) for row in _programs(sweep, "deploy_start_s")]
    what = (
        "Start to first answer in a program of your own" if starts else "Cold start without a compile cache"
    )
    starts = starts or sweep.facts("cold_start_s")
    if len(starts) > 1:
        (least, quick), (most, slow) = min(starts, key=lambda p: p[0]), max(starts, key=lambda p: p[0])
        yield finding(
            "start",
            f"{what}: {duration(least)} with {quick.recipe}, {duration(most)} with {slow.recipe}.",
            (quick, slow),
        )


def own_throughput(sweep: Sweep) -> Iterator[Finding]:
    """Recipes whose own program serves clearly more or fewer images a second than the measuring processes did."""
    told = []
    for row in sweep.timed:
        own, here = row.deploy_throughput_samples_per_s, row.throughput_samples_per_s
        if row.batch_size == row.deploy_batch_size and own and here and abs(own / here - 1) > FAR:
            serves = f"{row.recipe} serves {short(own)} images/s at batch {row.batch_size}"
            told.append((f"{serves}, against {short(here)} measured here", row))
    if told:
        sentence = f"In a program of its own, {'; '.join(words for words, _ in told)}."
        yield finding("start", sentence, (row for _, row in told))


def caveats(sweep: Sweep) -> Iterator[Finding]:
    """What a deployer should know about a format or technique, once per text; what is deprecated first."""
    groups: dict[Caveat, list[Row]] = {}
    for row in sweep.rows:
        if row.status is Status.OK:
            for caveat in row.caveats:
                groups.setdefault(caveat, []).append(row)
    order = list(_CAVEATS)
    for caveat, rows in sorted(groups.items(), key=lambda group: order.index(group[0].kind)):
        names = joined(list(dict.fromkeys(row.recipe for row in rows)))
        topic, named = _CAVEATS[caveat.kind]
        yield finding(topic, f"{named.format(names)}: {caveat.text.rstrip('.')}.", rows)


def _mb(row: Row, figure: str) -> str:
    return f"{getattr(row, figure):.0f} MB"
