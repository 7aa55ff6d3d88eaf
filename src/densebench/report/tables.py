"""Markdown from data: text that can't break out of its place, and the comparison tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence

from densebench.report.sweep import Sweep, throughput
from densebench.results.observation import Status
from densebench.results.problems import STATUS_WORDS
from densebench.results.record import Row
from densebench.spec import BASELINE
from densebench.text import interval_text, one_line, short, times

MISSING = "-"
FASTEST = 6  # recipes of a table in brief

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile(r"[\\|`*\[\]#~$]|(?<![^\W_])_|_(?![^\W_])")  # `_` inside a word is plain
_LIST_MARK = re.compile(r"^(?=[-+](?:\s|$))|^(\d+)(?=[.)](?:\s|$))")


def escape(text: str, limit: int = 4000) -> str:
    """Text from the data as Markdown that shows it and does nothing else."""
    marked = _SPECIAL.sub(lambda match: "\\" + match.group(), one_line(text, limit))
    marked = _LIST_MARK.sub(lambda match: f"{match.group(1)}\\" if match.group(1) else "\\", marked)
    return re.sub("[&<>]", lambda match: _ENTITIES[match.group()], marked)


def table(headings: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """A Markdown table of escaped cells. All but the first columns are numbers, set to the right."""
    rules = ["---"] * text_columns + ["---:"] * (len(headings) - text_columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, rules, *lines])


def apart(sweep: Sweep, shown: Callable[[Sweep], str]) -> str:
    """A table for each environment, with its name above where there are several."""
    return "\n\n".join(
        (f"On {escape(part.environment)}:\n\n" if part.environment else "") + shown(part)
        for part in sweep.parts
    )


def code_block(text: str) -> str:
    """A command as a block that its own backticks can't end."""
    line = one_line(text, limit=4000)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", line))])
    return f"{fence}sh\n{line}\n{fence}"


def code_span(text: str) -> str:
    """A command inside a sentence, which its own backticks can't end."""
    line = one_line(text, limit=4000)
    fence = "`" * max([1, *(len(run) + 1 for run in re.findall("`+", line))])
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else "an unknown command"


def throughput_table(sweep: Sweep, *, brief: bool = False) -> str:
    """Images a second and speed-up, recipe by batch size; the fastest of each batch size in bold.

    In brief it has the smallest and the largest batch size and those with more rounds, no intervals, and the baseline
    and the fastest recipes alone.
    """

    def cell(row: Row, *, best: bool) -> str:
        shown, gain = short(row.throughput_samples_per_s), _gain(row, brief=brief)
        return (f"**{shown}**" if best else shown) + (f" ({gain})" if row.speedup is not None else "")

    best = {size: sweep.at(size)[0].key for size in sweep.batch_sizes}
    sizes = [row.batch_size for row in sweep.rows]
    ends = {min(sizes, default=0), max(sizes, default=0), *sweep.focus_batch_sizes}
    return _by_batch_size(
        sweep, lambda row: cell(row, best=best.get(row.batch_size) == row.key), ends if brief else None
    )


def _gain(row: Row, *, brief: bool) -> str:
    """`1.52x ±0.04`, with a word where the interval doesn't say which is faster."""
    known = "" if brief else interval_text(row.speedup_ci_low, row.speedup_ci_high)
    gain = f"{times(row.speedup)} {known}".rstrip()
    return f"{gain}, {row.verdict}" if row.verdict in ("same", "unclear") else gain


def latency_table(sweep: Sweep) -> str:
    """Median time of a batch in ms, recipe by batch size."""
    return _by_batch_size(sweep, lambda row: short(row.latency_p50_ms) or MISSING)


def _by_batch_size(sweep: Sweep, cell: Callable[[Row], str], only: Container[int] | None = None) -> str:
    cells = {row.key: row for row in sweep.rows}
    sizes = [size for size in sorted({row.batch_size for row in sweep.rows}) if only is None or size in only]

    def text(recipe: str, size: int) -> str:
        row = cells.get((recipe, size))
        if row is None:
            return MISSING
        if row.status is not Status.OK:
            return STATUS_WORDS[row.status]
        return cell(row) if row.throughput_samples_per_s else MISSING

    fastest = {row.recipe for row in sorted(sweep.best, key=throughput, reverse=True)[:FASTEST]} | {BASELINE}
    shown = [recipe for recipe in sweep.recipes if only is None or recipe in fastest]
    lines = [[escape(recipe), *(text(recipe, size) for size in sizes)] for recipe in shown]
    return table(["recipe", *(f"batch {size}" for size in sizes)], lines)


_COSTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (  # heading, column, how it is printed
    ("top-1 (%)", "accuracy_top1", lambda value: f"{value:.2f}"),
    ("top-1 lost (points)", "accuracy_drop_pp", lambda value: f"{0.0 if abs(value) < 0.005 else value:.2f}"),
    (
        "same first guess (%)",
        "top1_agreement",
        lambda value: f"{100 if value == 1 else min(100 * value, 99.99):.2f}",
    ),
    ("SQNR (dB)", "output_sqnr_db", lambda value: f"{value:.1f}"),
    ("size (MB)", "model_size_mb", short),
    ("memory while measured (MB)", "host_memory_peak_mb", lambda value: f"{value:.0f}"),
    ("peak GPU memory (MB)", "vram_driver_peak_mb", lambda value: f"{value:.0f}"),
    ("zeros (%)", "zero_fraction", lambda value: f"{100 * value:.1f}"),
    ("build (s)", "build_s", lambda value: f"{value:.1f}"),
    ("load (s)", "load_s", lambda value: f"{value:.2f}"),
    ("first inference (s)", "first_inference_s", lambda value: f"{value:.2f}"),
    ("own program: start (s)", "deploy_start_s", lambda value: f"{value:.2f}"),
    ("own program: memory (MB)", "deploy_memory_mb", lambda value: f"{value:.0f}"),
)


def cost_table(sweep: Sweep) -> str:
    """One line per recipe: outputs, sizes and start-up, at the smallest batch size that has them; and effect.

    Columns that no recipe has are left out.
    """
    shown = [cost for cost in _COSTS if sweep.facts(cost[1])]
    lines = []
    for recipe in sweep.recipes:
        facts = [(sweep.fact(recipe, figure), form) for _, figure, form in shown]
        effect = next((row.effect_text for row in sweep.rows if row.recipe == recipe and row.effect), "")
        figures = [form(fact[0]) if fact else MISSING for fact, form in facts]
        lines.append([escape(recipe), escape(effect, limit=200) or MISSING, *figures])
    return table(["recipe", "effect", *(heading for heading, _, _ in shown)], lines, text_columns=2)
