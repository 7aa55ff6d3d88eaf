"""The comparison at the end of a run, as wide as the terminal allows.

A table for each environment that rows come from. One line per recipe with a few batch sizes side by side where they
fit, else one line per row. What did not run stands below with its reason. A mark says what became of a speed-up; its
interval is left out where there is no room. A wide interval has its two ends below the table: inside the table they
would take the room of all other intervals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from densebench.results.derive import by_environment
from densebench.results.observation import Status
from densebench.results.problems import STATUS_WORDS, problems
from densebench.results.record import Row, recipes_in_order
from densebench.sinks.progress import STYLES
from densebench.text import batches, interval_text, is_wide, one_line, short, times

WIDEST = 100  # columns, so that a table still fits where it is pasted
Signs = Mapping[str, str]
VERDICTS = {"faster": "green", "slower": "red", "same": "", "unclear": "dim"}
_SIGNS: Signs = {"faster": "▲", "slower": "▼", "same": "=", "unclear": "?", "half": "±"}
_ASCII: Signs = {"faster": "+", "slower": "-", "same": "=", "unclear": "?", "half": "+-"}
_NAME = 28  # characters of a recipe before its name is broken

Extra = tuple[str, Callable[[Row], float | None], Callable[[float], str]]
_EXTRAS: tuple[Extra, ...] = (  # the most important first: the last ones go where the terminal is narrow
    ("top-1\n%", lambda row: row.accuracy_top1, lambda value: f"{value:.2f}"),
    ("size\nMB", lambda row: row.model_size_mb, short),
    ("p50\nms", lambda row: row.latency_p50_ms, short),
    ("memory\nMB", lambda row: row.deploy_memory_mb, lambda value: f"{value:.0f}"),
)
# What is tried in turn until the table fits: how many of these, and whether speed-ups have their intervals.
_ROOMY = ((4, True), (2, True), (1, True), (2, False))
_NARROW = ((4, True), (2, True), (0, True), (0, False))


def print_table(
    rows: Sequence[Row], console: Console, *, recommendation: str = "", paths: Sequence[Path] = ()
) -> None:
    """Print the comparison, the failed and skipped rows, the recommendation, and the paths to open."""
    console.print()
    apart = by_environment(rows)
    for environment, own in apart.items():
        if len(apart) > 1:
            console.print(Text(f"On {one_line(environment)}:", "bold"), highlight=False)
        _print_environment(own, console)
    if recommendation:
        console.print(Text(f"\n{one_line(recommendation, limit=2000)}", "bold"), highlight=False)
    if paths:
        console.print()
    for path in paths:
        console.print(Text(f"open {path}"), soft_wrap=True, highlight=False)


def _print_environment(rows: Sequence[Row], console: Console) -> None:
    console.print(_fitting(rows, console), highlight=False)
    for row in rows:
        if is_wide(row.speedup_ci_low, row.speedup_ci_high):
            ends = f"{times(row.speedup)} {interval_text(row.speedup_ci_low, row.speedup_ci_high)}"
            wide = f"wide interval  {one_line(row.recipe)}, {batches([row.batch_size])}: {ends}"
            console.print(Text(wide, VERDICTS["unclear"]), highlight=False)
    for group in problems(rows):
        first = group[0]
        line = Text(STATUS_WORDS[first.status], STYLES[first.status])
        line.append(f"  {one_line(first.recipe)}, {batches(row.batch_size for row in group)}: ")
        console.print(line.append(one_line(first.reason) or "no reason given"), highlight=False)


def _fitting(rows: Sequence[Row], console: Console) -> Table:
    signs = _signs(console.encoding)
    width = min(console.width, WIDEST)
    sizes = sorted({row.batch_size for row in rows})
    three, two = (sizes[0], sizes[len(sizes) // 2], sizes[-1]), (sizes[0], sizes[-1])
    for shown in dict.fromkeys((tuple(sizes), three, two)):
        for count, interval in _ROOMY if len(shown) > 2 else _NARROW:
            table = _by_recipe(rows, list(dict.fromkeys(shown)), _EXTRAS[:count], signs, interval=interval)
            if console.measure(table, options=console.options.update(width=10_000)).maximum <= width:
                return table
    return _by_row(rows, signs)


def _by_recipe(
    rows: Sequence[Row], sizes: list[int], extras: Sequence[Extra], signs: Signs, *, interval: bool
) -> Table:
    table = _table("images/s and speed-up over the baseline at the same batch size", rows, signs)
    table.add_column("\nrecipe", no_wrap=True)
    for size in sizes:
        table.add_column(f"batch {size}\nimages/s", justify="right", no_wrap=True)
    used = [extra for extra in extras if any(extra[1](row) is not None for row in rows)]
    for heading, _, _ in used:
        table.add_column(heading, justify="right", no_wrap=True)
    cells = {row.key: row for row in rows}
    best = {size: _fastest([row for row in rows if row.batch_size == size]) for size in sizes}
    columns = {
        size: _gains([row for row in rows if row.batch_size == size], signs, interval=interval)
        for size in sizes
    }
    for recipe in recipes_in_order(rows):
        own = [row for row in rows if row.recipe == recipe]
        line = [Text(_broken(one_line(recipe)))]
        line += [_speed(cells.get((recipe, size)), best[size], columns[size]) for size in sizes]
        line += [Text(_figure(own, extra)) for extra in used]
        table.add_row(*line)
    if used:
        table.caption = "right of the speeds: at each recipe's smallest batch size"
    return table


def _by_row(rows: Sequence[Row], signs: Signs) -> Table:
    table = _table("images/s and speed-up over the baseline", rows, signs)
    table.add_column("recipe", overflow="fold")
    for heading in ("batch", "images/s", "speed-up"):
        table.add_column(heading, justify="right", no_wrap=True)
    fastest = {
        size: _fastest([r for r in rows if r.batch_size == size]) for size in {r.batch_size for r in rows}
    }
    gains = _gains(rows, signs, interval=False)
    for row in rows:
        good = row.status is Status.OK
        speed = Text(short(row.throughput_samples_per_s) if good else STATUS_WORDS[row.status])
        speed.stylize("bold" if row is fastest[row.batch_size] else "" if good else STYLES[row.status])
        table.add_row(Text(one_line(row.recipe)), str(row.batch_size), speed, gains.get(row.key, Text()))
    return table


def _table(title: str, rows: Sequence[Row], signs: Signs) -> Table:
    used = [verdict for verdict in VERDICTS if any(row.verdict == verdict for row in rows)]
    key = "   ".join(f"{signs[verdict]} {verdict}" for verdict in used)
    return Table(
        title=f"{title}\n{key}".rstrip(),
        title_justify="left",
        title_style="",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _signs(encoding: str) -> Signs:
    """The marks, in ASCII where the terminal could not print the others."""
    try:
        "".join(_SIGNS.values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _SIGNS


def _gains(rows: Sequence[Row], signs: Signs, *, interval: bool) -> dict[tuple[str, int], Text]:
    """Each row's speed-up with its interval and mark, all equally wide so that they stand under each other."""
    told = {row.key: (times(row.speedup), _span(row, signs) if interval else "", row.verdict) for row in rows}
    ratios = max((len(ratio) for ratio, _, _ in told.values()), default=0)
    spans = max((len(span) for _, span, _ in told.values()), default=0)
    marked = any(verdict for _, _, verdict in told.values())
    texts = {}
    for key, (ratio, span, verdict) in told.items():
        text = Text(f"{ratio:>{ratios}}" + (f" {span:<{spans}}" if spans else ""))
        if marked:
            text.append(f" {signs[verdict]}" if verdict else "  ", VERDICTS[verdict] if verdict else "")
        texts[key] = text
    return texts


def _span(row: Row, signs: Signs) -> str:
    low, high = row.speedup_ci_low, row.speedup_ci_high
    return "wide" if is_wide(low, high) else interval_text(low, high, signs["half"])


def _broken(name: str) -> str:
    """A long name on several lines, each ending where a step ends."""
    lines = [""]
    for step in re.split(r"(?<=\+)", name):
        if lines[-1] and len(lines[-1]) + len(step) > _NAME:
            lines.append("")
        lines[-1] += step
    return "\n".join(lines)


def _speed(row: Row | None, best: Row | None, gains: Mapping[tuple[str, int], Text]) -> Text:
    if row is None:
        return Text("-")
    if row.status is not Status.OK:
        return Text(STATUS_WORDS[row.status], STYLES[row.status])
    text = Text(short(row.throughput_samples_per_s), "bold" if row is best else "")
    return text.append(" ").append(gains[row.key]) if text else Text("-")


def _fastest(rows: Sequence[Row]) -> Row | None:
    timed = [row for row in rows if row.status is Status.OK and row.throughput_samples_per_s is not None]
    return max(timed, key=lambda row: row.throughput_samples_per_s or 0.0, default=None)


def _figure(rows: Sequence[Row], extra: Extra) -> str:
    """The figure at the smallest batch size that has it."""
    for row in sorted(rows, key=lambda row: row.batch_size):
        value = extra[1](row)
        if value is not None:
            return extra[2](value)
    return "-"
