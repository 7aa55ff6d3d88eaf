"""`densebench compare`: the table, the gate's decision, or both as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from densebench.cli.compare import Compared, Pair, compare
from densebench.cli.compare_gate import Gate, gate
from densebench.cli.compare_runs import Run
from densebench.cli.table import VERDICTS, WIDEST
from densebench.errors import UsageError
from densebench.stats.speedup import CLEAR, Verdict
from densebench.text import batches, joined, one_line, short, times


def print_comparison(
    a: Path, b: Path, console: Console, *, fail_on_slower: float | None = None, as_json: bool = False
) -> int:
    """Print how B compares with A, row by row.

    Args:
        a: the results folder to compare with.
        b: the results folder in question.
        console: for the table; with JSON, only the list is on the standard output and the rest is printed here.
        fail_on_slower: the gate: percent that a row may be slower.
        as_json: a list of objects, one a row, instead of the table.

    Returns:
        The exit code: 1 if the gate failed (a row is surely slower by more than it allows, or ran in A and broke in
        B) or can't tell; else 0.

    Raises:
        UsageError: no journal, no row that both have, or a limit that is no percentage.

    """
    if fail_on_slower is not None and not 0 <= fail_on_slower < 100:
        raise UsageError(f"--fail-on-slower is a percentage from 0 to below 100 (got {fail_on_slower:g})")
    margin = CLEAR if fail_on_slower is None else min(CLEAR, fail_on_slower / 100)
    found = compare(Run.read(a), Run.read(b), margin)
    result = None if fail_on_slower is None else gate(found, fail_on_slower)
    if not (result and result.lost) and not any(pair.judged for pair in found.pairs):
        reason = next((f", such as {_named(p)}: {p.reason}" for p in found.pairs if not p.yardstick), "")
        raise UsageError(
            f"{a} and {b} have no row to compare{reason}; run both with the same recipes and batch sizes, "
            "the baseline among them"
        )
    if as_json:
        print(json.dumps([_object(pair, result) for pair in found.pairs], indent=1))
    else:
        console.print(Text(f"A {a}\nB {b}"), soft_wrap=True, highlight=False)
        console.print(_table(found.pairs), highlight=False, width=min(console.width, WIDEST))
        for line in _without(found.pairs):
            console.print(Text(line), soft_wrap=True, highlight=False)
    for line in (*found.notes, _summary(found)):
        console.print(Text(line), soft_wrap=True, highlight=False)
    if result is None:
        return 0
    _print_gate(found.pairs, result, console)
    return int(result.result != "passed")


def _table(pairs: Sequence[Pair]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("\nrecipe", overflow="fold")
    kinds = sorted({_by(pair) for pair in pairs if pair.judged})
    mixed = len(kinds) > 1
    ratio = f"B / A of\n{kinds[0]}" if len(kinds) == 1 else "\nB / A"
    for heading in ("\nbatch", "A\nimages/s", "B\nimages/s", ratio, "95 %\ninterval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("\nverdict", no_wrap=True)
    if mixed:
        table.add_column("\nB / A of", no_wrap=True)
    for pair in pairs:
        if not (pair.judged or pair.yardstick):
            continue
        told = (
            mixed or _by(pair) in kinds
        )  # the baseline's ratio is no speed-up: where those stand, a note has it
        verdict = pair.verdict if told else None
        table.add_row(
            Text(one_line(pair.recipe)),
            str(pair.batch_size),
            short(pair.a_images_per_s),
            short(pair.b_images_per_s),
            _ratio(pair) if told else "",
            _span(pair) if told else "",
            Text(verdict, VERDICTS[verdict]) if verdict else "",
            *([_by(pair)] if mixed else []),
        )
    return table


def _ratio(pair: Pair) -> str:
    return times(pair.ratio.value) if pair.ratio else ""


def _by(pair: Pair) -> str:
    return {"throughput": "images/s", "speedup": "speed-ups", None: ""}[pair.by]


def _span(pair: Pair) -> str:
    ratio = pair.ratio
    return "" if ratio is None or ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}"


def _named(pair: Pair) -> str:
    return f"{one_line(pair.recipe)}, {batches([pair.batch_size])}"


def _without(pairs: Sequence[Pair]) -> list[str]:
    """The rows that have no ratio, those of one recipe with the same reason together."""
    groups: dict[tuple[str, str], list[int]] = {}
    for pair in pairs:
        if pair.ratio is None and not pair.yardstick:
            groups.setdefault((pair.recipe, pair.reason), []).append(pair.batch_size)
    return [
        f"not compared: {one_line(recipe)}, {batches(sizes)}: {reason}"
        for (recipe, reason), sizes in groups.items()
    ]


def _summary(found: Compared) -> str:
    counts = Counter(pair.verdict for pair in found.pairs if pair.judged)
    told = [f"{count} {verdict}" for verdict in get_args(Verdict) if (count := counts[verdict])]
    of = joined(sorted({_by(pair) for pair in found.pairs if pair.judged}))
    besides = " besides the baseline" if any(pair.yardstick for pair in found.pairs) else ""
    out = sum(not (pair.judged or pair.yardstick) for pair in found.pairs)
    if not told:
        return f"B's rows{besides}: {out} not compared"
    left = f"; {out} not compared" if out else ""
    return f"B's rows{besides}, by {of}: {', '.join(told)}{left}"


def _print_gate(pairs: Sequence[Pair], found: Gate, console: Console) -> None:
    judged = [pair for pair in pairs if pair.judged]
    unclear = sum(pair.verdict == "unclear" for pair in judged)
    for pair in found.slow:
        words = f"too slow: {_named(pair)}: {_ratio(pair)} ({_span(pair)}) of A's {_by(pair)}"
        console.print(Text(words, VERDICTS["slower"]), soft_wrap=True, highlight=False)
    for pair in found.lost:
        words = f"lost: {_named(pair)}: ran in A, {pair.reason}"
        console.print(Text(words, VERDICTS["slower"]), soft_wrap=True, highlight=False)
    broken = f"{len(found.lost)} that ran in A did not in B; " if found.lost else ""
    told = (
        found.doubt
        if found.result == "can't tell"
        else (
            f"{broken}{len(found.slow)} of {len(judged)} rows surely slower by more than {found.percent:g} % "
            f"(one-sided 97.5 % for all rows together, by Holm); {unclear} unclear, which does not fail"
        )
    )
    console.print(Text(f"gate {found.result}: {told}", "bold"), soft_wrap=True, highlight=False)


def _object(pair: Pair, found: Gate | None) -> dict[str, object]:
    ratio = pair.ratio
    return {
        "recipe": pair.recipe,
        "batch_size": pair.batch_size,
        "compared_by": pair.by,
        "a_throughput_samples_per_s": pair.a_images_per_s,
        "b_throughput_samples_per_s": pair.b_images_per_s,
        "ratio": ratio.value if ratio else None,
        "ratio_ci_low": ratio.low if ratio else None,
        "ratio_ci_high": ratio.high if ratio else None,
        "verdict": pair.verdict,
        "too_slow": bool(found and pair in found.slow),
        "lost": pair.lost,
        "reason": pair.reason,
        "gate": found.result if found else None,
    }
