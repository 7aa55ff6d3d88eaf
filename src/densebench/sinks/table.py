"""The comparison at the end of a run, as wide as the terminal allows.

One line per recipe with a few batch sizes side by side where they fit, else one line per row. What did not
run stands below with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from densebench.record import Row, Status, recipes_in_order
from densebench.sinks.console import STYLES
from densebench.wording import STATUS_WORDS, batches, one_line, problems, short, times

Extra = tuple[str, Callable[[Row], float | None], Callable[[float], str]]
_EXTRAS: tuple[Extra, ...] = (  # the most important first: the last ones go where the terminal is narrow
    ("top-1\n%", lambda row: row.accuracy_top1, lambda value: f"{value:.2f}"),
    ("size\nMB", lambda row: row.model_size_mb, short),
    ("p50\nms", lambda row: row.latency_p50_ms, short),
    ("memory\nMB", lambda row: row.host_memory_peak_mb, lambda value: f"{value:.0f}"),
)


def print_table(
    rows: Sequence[Row], console: Console, *, recommendation: str = "", paths: Sequence[Path] = ()
) -> None:
    """Print the comparison, the failed and skipped rows, the recommendation, and the paths to open."""
    console.print()
    if rows:
        console.print(_fitting(rows, console), highlight=False)
    for group in problems(rows):
        first = group[0]
        line = Text(STATUS_WORDS[first.status], STYLES[first.status])
        line.append(f"  {one_line(first.recipe)}, {batches(row.batch_size for row in group)}: ")
        console.print(line.append(one_line(first.reason) or "no reason given"), highlight=False)
    if recommendation:
        console.print(Text(f"\n{one_line(recommendation, limit=2000)}", "bold"), highlight=False)
    if paths:
        console.print()
    for path in paths:
        console.print(Text(f"open {path}"), soft_wrap=True, highlight=False)


def _fitting(rows: Sequence[Row], console: Console) -> Table:
    sizes = sorted({row.batch_size for row in rows})
    three, two = (sizes[0], sizes[len(sizes) // 2], sizes[-1]), (sizes[0], sizes[-1])
    for shown in dict.fromkeys((tuple(sizes), three, two)):
        for count in (4, 3, 2) if len(shown) > 2 else (4, 2, 0):
            table = _by_recipe(rows, list(dict.fromkeys(shown)), _EXTRAS[:count])
            if console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width:
                return table
    return _by_row(rows)


def _by_recipe(rows: Sequence[Row], sizes: list[int], extras: Sequence[Extra]) -> Table:
    table = _table("images/s and speed-up over the baseline at the same batch size")
    table.add_column("\nrecipe", no_wrap=True)
    for size in sizes:
        table.add_column(f"batch {size}\nimages/s", justify="right", no_wrap=True)
    used = [extra for extra in extras if any(extra[1](row) is not None for row in rows)]
    for heading, _, _ in used:
        table.add_column(heading, justify="right", no_wrap=True)
    cells = {row.key: row for row in rows}
    best = {size: _fastest([row for row in rows if row.batch_size == size]) for size in sizes}
    for recipe in recipes_in_order(rows):
        own = [row for row in rows if row.recipe == recipe]
        line = [Text(one_line(recipe))]
        line += [_speed(cells.get((recipe, size)), best[size]) for size in sizes]
        line += [Text(_figure(own, extra)) for extra in used]
        table.add_row(*line)
    if used:
        table.caption = "right of the speeds: at each recipe's smallest batch size"
    return table


def _by_row(rows: Sequence[Row]) -> Table:
    table = _table("images/s and speed-up over the baseline")
    table.add_column("recipe", overflow="fold")
    for heading in ("batch", "images/s", "speed-up"):
        table.add_column(heading, justify="right", no_wrap=True)
    fastest = {
        size: _fastest([r for r in rows if r.batch_size == size]) for size in {r.batch_size for r in rows}
    }
    for row in rows:
        good = row.status is Status.OK
        speed = Text(short(row.throughput_samples_per_s) if good else STATUS_WORDS[row.status])
        speed.stylize("bold" if row is fastest[row.batch_size] else "" if good else STYLES[row.status])
        table.add_row(Text(one_line(row.recipe)), str(row.batch_size), speed, times(row.speedup))
    return table


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _speed(row: Row | None, best: Row | None) -> Text:
    if row is None:
        return Text("-")
    if row.status is not Status.OK:
        return Text(STATUS_WORDS[row.status], STYLES[row.status])
    text = f"{short(row.throughput_samples_per_s)} {times(row.speedup):>6}".rstrip()
    return Text(text or "-", "bold" if row is best else "")


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
