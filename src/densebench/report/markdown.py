"""`REPORT.md`, and the parts of it that the project's README shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from densebench.report import analysis
from densebench.report.analysis import KEY, PERFORMANCE, SHOWN, TRADE_OFFS
from densebench.report.facts import environment, setting, sweep_of, title
from densebench.report.recommendation import recommendations
from densebench.report.reliability import missing
from densebench.report.sweep import Finding, Rule, Sweep, apply, evidence
from densebench.report.tables import (
    FASTEST,
    apart,
    code_block,
    code_span,
    cost_table,
    escape,
    latency_table,
    table,
    throughput_table,
)
from densebench.results.journal import Header
from densebench.results.record import Record, Row
from densebench.text import joined

NOTHING = "Nothing to say: too few rows were timed."
SPEEDS = "Images per second of one synchronous stream; in brackets the speed-up over the baseline at the same batch."
INSIGHTS = 3
MOST_NAMED = 3  # recipes that a sentence names as its evidence


def report(header: Header, rows: Sequence[Row], confirmation: Sequence[Record] = ()) -> str:
    """The whole of `REPORT.md`."""
    sweep = sweep_of(header, rows, confirmation)
    sections = [
        f"# {escape(title(rows))}\n\n{escape(setting(header, rows))}",
        recommendation(sweep),
        f"## Throughput\n\n{_throughput(sweep)}",
        "## Latency\n\nMedian time of one batch in ms, from input on the device to logits on the device.\n\n"
        + apart(sweep, latency_table),
        f"## Outputs, size and start-up\n\n{_costs(sweep)}",
        f"## Analysis\n\n{_folded(sweep, PERFORMANCE)}",
        f"## Trade-offs\n\n{_folded(sweep, TRADE_OFFS)}",
        f"## Failed and skipped\n\n{bullets(sweep, (missing,), 'Every row ran.')}",
        f"## Environment\n\n{_environment(header)}",
        f"## How to reproduce\n\n{code_block(header.command)}",
        f"## Known limits of this run\n\n{limits(header, sweep)}",
    ]
    return "\n\n".join(sections) + "\n"


def summary(header: Header, rows: Sequence[Row], confirmation: Sequence[Record] = ()) -> str:
    """The run in a form that a project's README can include: no title of its own above the second level."""
    shown = parts(header, rows, confirmation)
    where = "The whole report is in `report.html` and `REPORT.md`, every figure in `benchmark_results.csv`."
    sections = [
        f"## {escape(title(rows))}",
        shown["results"],
        f"### What it costs\n\n{shown['tradeoffs']}",
        f"### Limits\n\n{shown['limitations']}",
        f"Measured with {code_span(header.command)}. {where}",
    ]
    return "\n\n".join(sections) + "\n"


def parts(header: Header, rows: Sequence[Row], confirmation: Sequence[Record] = ()) -> dict[str, str]:
    """What the README shows, by the name of its marker."""
    sweep = sweep_of(header, rows, confirmation)
    summary = [
        escape(setting(header, rows)),
        recommendation(sweep, brief=True),
        f"{speeds(sweep)} The fastest is bold.{_left_out(sweep)}\n\n"
        + apart(sweep, partial(throughput_table, brief=True)),
        f"Key insights:\n\n{bullets(sweep, KEY, most=INSIGHTS)}",
    ]
    return {
        "results": "\n\n".join(summary),
        "analysis": bullets(sweep, [rule for rule in PERFORMANCE if rule not in KEY], most=SHOWN),
        "tradeoffs": bullets(sweep, [rule for rule in TRADE_OFFS if rule not in KEY], most=SHOWN),
        "limitations": limits(header, sweep) + "\n" + bullets(sweep, (missing,), "- Every row ran."),
    }


def limits(header: Header, sweep: Sweep) -> str:
    """What the run itself can't tell, and the notes that it left."""
    said = [*header.notes, *(one.sentence for one in analysis.limits(sweep))]
    return "\n".join(f"- {escape(sentence)}" for sentence in said) or "None noted."


def bullets(
    sweep: Sweep,
    rules: Sequence[Rule],
    otherwise: str = NOTHING,
    *,
    most: int | None = None,
) -> str:
    """The rules' findings as a list, the first so many of them where a number is given."""
    return _list(apply(rules, sweep)[:most]) or otherwise


def _list(findings: Sequence[Finding], *, with_rows: bool = False) -> str:
    """Findings as a list, with the rows that each rests on where that is asked for."""
    return "\n".join(
        f"- {escape(one.sentence)}" + (f" ({escape(_rows(one))})" if with_rows else "") for one in findings
    )


def _folded(sweep: Sweep, rules: Sequence[Rule]) -> str:
    """The rules' first findings, then all others behind a fold, with the rows that each rests on."""
    findings = apply(rules, sweep)
    shown, more = _list(findings[:SHOWN], with_rows=True) or NOTHING, findings[SHOWN:]
    return f"{shown}\n\n{fold(f'{len(more)} more', _list(more, with_rows=True))}" if more else shown


def fold(summary: str, markdown: str) -> str:
    """Markdown that is shown when a reader asks for it, where the reader's program knows HTML."""
    return f"<details><summary>{summary}</summary>\n\n{markdown}\n\n</details>"


def _rows(finding: Finding) -> str:
    """The rows of a finding by name where they are of a few recipes, else how many."""
    few = len({recipe for recipe, _ in finding.evidence}) <= MOST_NAMED
    return evidence([finding]) if few else f"{len(finding.evidence)} rows"


def recommendation(sweep: Sweep, *, brief: bool = False) -> str:
    """The headline in bold, the rest under it; of each environment where there are several.

    In brief the rest is what comes next, without what the recipe costs and what a deployer should know besides.
    """
    groups = [
        [escape(one.sentence) for one in group[: 2 if brief else None]] for group in recommendations(sweep)
    ]
    paragraphs = [text for headline, *details in groups for text in (f"**{headline}**", *details)]
    return "\n\n".join(paragraphs)


def _left_out(sweep: Sweep) -> str:
    """That the table in brief hasn't all recipes, where it hasn't."""
    return (
        f" Shown: the {FASTEST} fastest of {len(sweep.recipes)} recipes."
        if len(sweep.recipes) > FASTEST + 1
        else ""
    )


def speeds(sweep: Sweep) -> str:
    """What the table of speeds has, with the recipes named that answer several batches at once."""
    several = {row.recipe: row.streams for row in sweep.timed if row.streams > 1}
    named = joined([f"{escape(name)} ({count})" for name, count in several.items()])
    return f"{SPEEDS} Of several batches at once: {named}." if several else SPEEDS


def _throughput(sweep: Sweep) -> str:
    about = (
        "Speed-ups are taken moment by moment, so they aren't quite quotients of speeds. The fastest is bold."
    )
    return f"{speeds(sweep)} {about}\n\n{apart(sweep, throughput_table)}"


def _costs(sweep: Sweep) -> str:
    return f"Each recipe at its smallest batch size.\n\n{apart(sweep, cost_table)}"


def _environment(header: Header) -> str:
    facts = environment(header).items()
    return table(["", ""], [[escape(name), escape(value)] for name, value in facts], 2)
