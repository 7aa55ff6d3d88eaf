"""Rules about what a recipe costs: bytes, memory, the time to build and to start, and its caveats."""

from __future__ import annotations

import re
from collections.abc import Iterator

from densebench.record import BASELINE, Row, Status
from densebench.report.sweep import Finding, Sweep, finding
from densebench.wording import duration, joined, short

_CAVEATS = {  # topic -> what a caveat of it says, and how the recipes are named before it
    "deprecation": (r"\bdeprecat", "A deprecated format, {0}"),
    "portability": (r"\bbound to\b|\belsewhere\b|\bnowhere else\b|\bmachine code\b", "Not portable, {0}"),
    "caveats": ("", "{0}"),
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
    """The least and the most peak memory, at the largest batch size that two recipes share."""
    for figure, kind in (("vram_driver_peak_mb", "GPU memory"), ("host_memory_peak_mb", "host memory")):
        for size in reversed(sweep.batch_sizes):
            rows = [row for row in sweep.at(size) if getattr(row, figure) is not None]
            if len(rows) < 2:
                continue
            ranked = sorted(rows, key=lambda row: float(getattr(row, figure)))
            least, most = ranked[0], ranked[-1]
            base = next((row for row in rows if row.recipe == BASELINE and row not in (least, most)), None)
            middle = f", {_mb(base, figure)} for the baseline" if base else ""
            floor = least.host_memory_floor_mb if figure == "host_memory_peak_mb" else None
            inside = f" (the loaded framework alone: {floor:.0f} MB)" if floor is not None else ""
            yield finding(
                "memory",
                f"Peak {kind} at batch {size}: least with {least.recipe}, {_mb(least, figure)}{inside}"
                f"{middle}; most with {most.recipe}, {_mb(most, figure)}.",
                ranked,
            )
            break


def start_up(sweep: Sweep) -> Iterator[Finding]:
    """The longest build, the slowest first inference and the longest cold start."""
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
    colds = sweep.facts("cold_start_s")
    if len(colds) > 1:
        (least, quick), (most, slow) = min(colds, key=lambda p: p[0]), max(colds, key=lambda p: p[0])
        yield finding(
            "start",
            f"Cold start without a compile cache: {duration(least)} with {quick.recipe}, "
            f"{duration(most)} with {slow.recipe}.",
            (quick, slow),
        )


def caveats(sweep: Sweep) -> Iterator[Finding]:
    """What a deployer should know about a format or technique, once per text; what is deprecated first."""
    groups: dict[str, list[Row]] = {}
    for row in sweep.rows:
        if row.status is Status.OK:
            for caveat in row.caveats:
                groups.setdefault(caveat, []).append(row)
    order = list(_CAVEATS)
    for caveat, rows in sorted(groups.items(), key=lambda group: order.index(_about(group[0]))):
        names = joined(list(dict.fromkeys(row.recipe for row in rows)))
        said = _CAVEATS[_about(caveat)][1].format(names)
        yield finding(_about(caveat), f"{said}: {caveat.rstrip('.')}.", rows)


def _about(caveat: str) -> str:
    return next(
        topic for topic, (pattern, _) in _CAVEATS.items() if re.search(pattern, caveat, re.IGNORECASE)
    )


def _mb(row: Row, figure: str) -> str:
    return f"{getattr(row, figure):.0f} MB"
