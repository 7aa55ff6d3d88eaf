"""`REPORT.md`, and the parts of it that the project's README shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from densebench.record import Row
from densebench.report.analysis import KEY, LIMITS, PERFORMANCE, TRADE_OFFS, Rule, apply
from densebench.report.recommendation import NO_RECOMMENDATION, recommend
from densebench.report.reliability import missing
from densebench.report.sweep import Finding, Sweep
from densebench.report.tables import code_block, cost_table, escape, latency_table, table, throughput_table
from densebench.sinks.journal import Header
from densebench.wording import STATUS_WORDS, joined


def sweep_of(header: Header, rows: Sequence[Row]) -> Sweep:
    """The rows with the accuracy limit that the run was given."""
    limit = header.spec.get("max_accuracy_drop", header.spec.get("max-accuracy-drop", 1.0))
    return Sweep(tuple(rows), float(limit))


def report(header: Header, rows: Sequence[Row]) -> str:
    """The whole of `REPORT.md`."""
    sweep = sweep_of(header, rows)
    model = escape(" and ".join(dict.fromkeys(row.model for row in rows)) or "no model")
    sections = [
        f"# {model}: which optimization to deploy\n\n{setting(header, rows)}",
        _recommendation(sweep),
        f"## Throughput\n\n{_throughput(sweep)}",
        "## Latency\n\nMedian time of one batch in ms, from input on the device to logits on the device.\n\n"
        + latency_table(sweep),
        f"## Outputs, size and start-up\n\n{_costs(sweep)}",
        f"## Analysis\n\n{bullets(sweep, PERFORMANCE)}",
        f"## Trade-offs\n\n{bullets(sweep, TRADE_OFFS)}",
        f"## Failed and skipped\n\n{bullets(sweep, (missing,), 'Every row ran.')}",
        f"## Environment\n\n{_environment(header)}",
        f"## How to reproduce\n\n{code_block(header.command)}",
        f"## Known limits of this run\n\n{limits(header, sweep)}",
    ]
    return "\n\n".join(sections) + "\n"


def parts(header: Header, rows: Sequence[Row]) -> dict[str, str]:
    """What the README shows, by the name of its marker."""
    sweep = sweep_of(header, rows)
    summary = [
        setting(header, rows),
        _recommendation(sweep),
        _throughput(sweep),
        _costs(sweep),
        f"Key insights:\n\n{bullets(sweep, KEY)}",
    ]
    return {
        "results": "\n\n".join(summary),
        "analysis": bullets(sweep, [rule for rule in PERFORMANCE if rule not in KEY]),
        "tradeoffs": bullets(sweep, TRADE_OFFS),
        "limitations": limits(header, sweep) + "\n" + bullets(sweep, (missing,), "- Every row ran."),
    }


def setting(header: Header, rows: Sequence[Row]) -> str:
    """Where, when and on what the rows were measured, and how they ended."""
    if not rows:
        return "No rows."
    row = rows[0]
    machine = header.environment.get("cpu" if row.device == "cpu" else "gpu0")
    where = f"on {row.device}" + (f" ({machine})" if machine else "")
    counts = Counter(STATUS_WORDS[one.status] for one in rows)
    ended = joined([f"{count} {word}" for word, count in counts.items()])
    return escape(
        f"Measured {header.started_at[:10]} {where} with {row.threads} threads: {row.image_size} px images, "
        f"weights {row.weights}, data {row.data}, seed {row.seed}. {len(rows)} rows: {ended}."
    )


def limits(header: Header, sweep: Sweep) -> str:
    """What the run itself can't tell, and the notes that it left."""
    notes = [f"- {escape(note)}" for note in header.notes]
    rules = [rule for rule in LIMITS if rule is not missing]
    return "\n".join([*notes, bullets(sweep, rules, "" if notes else "None noted.")]).rstrip()


def bullets(
    sweep: Sweep, rules: Sequence[Rule], otherwise: str = "Nothing to say: too few rows were timed."
) -> str:
    """The rules' findings as a list."""
    found: list[Finding] = apply(rules, sweep)
    return "\n".join(f"- {escape(finding.sentence)}" for finding in found) or otherwise


def _recommendation(sweep: Sweep) -> str:
    """The headline in bold, the rest under it."""
    headline, *details = [escape(one.sentence) for one in recommend(sweep)] or [NO_RECOMMENDATION]
    return "\n\n".join([f"**{headline}**", *details])


def _throughput(sweep: Sweep) -> str:
    return (
        "Images per second of one synchronous stream; in brackets the speed-up over the baseline at the same "
        f"batch size. The fastest is bold.\n\n{throughput_table(sweep)}"
    )


def _costs(sweep: Sweep) -> str:
    return f"Each recipe at its smallest batch size.\n\n{cost_table(sweep)}"


def _environment(header: Header) -> str:
    facts = {**header.identity, **_flat(header.environment), "started": header.started_at}
    return table(["", ""], [[escape(str(name)), escape(str(value))] for name, value in facts.items()], 2)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        elif isinstance(value, (list, tuple)):
            flat[prefix + name] = ", ".join(str(item) for item in value)
        else:
            flat[prefix + name] = str(value)
    return flat
