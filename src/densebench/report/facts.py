"""Where, when and on what a run was measured, as plain text."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from densebench.errors import UsageError
from densebench.recipes.parse import resolve
from densebench.report.sweep import Sweep
from densebench.results.ceilings import ceilings_of, raised
from densebench.results.derive import by_environment
from densebench.results.header import AskedFor, Header
from densebench.results.problems import STATUS_WORDS
from densebench.results.record import Record, Row
from densebench.spec import flag_of
from densebench.text import joined


def sweep_of(header: Header, rows: Sequence[Row], confirmation: Sequence[Record] = ()) -> Sweep:
    """The rows with what the run was asked for, the fresh rounds that confirm its choice, and its ceilings."""
    asked = header.asked_for
    return Sweep(
        tuple(rows),
        asked.limits,
        asked.objective,
        tuple(confirmation),
        _confirming(header.command, asked),
        raised(ceilings, rows) if (ceilings := ceilings_of(header.ceilings)) else None,
        precision_target=asked.precision_target,
        rounds=asked.rounds,
        focus_rounds=asked.focus_rounds,
        focus_batch_sizes=asked.focus_batch_sizes,
        rounds_at_first=header.focus_rounds_at_first,
        planned=tuple((_called(recipe, header), size) for recipe, size in header.planned),
    )


def _confirming(command: str, asked: AskedFor) -> str:
    """The command that goes on with a run and confirms the choice by this objective and these limits.

    It names every limit, those that have their default too: a resume keeps the limits of its run, or of its suite,
    where it names none.
    """
    try:
        words = shlex.split(command)
    except ValueError:  # a journal that was changed by hand
        return ""
    last = words[len(words) - words[::-1].index("&&") :] if "&&" in words else words
    if last[:2] != ["densebench", "run"]:
        return ""
    wanted = {"objective": asked.objective, **asked.limits.model_dump(exclude_none=True)}
    flags = [word for name, value in wanted.items() for word in (flag_of(name), _typed(value))]
    return shlex.join([*_without(last, {"resume": 0, **dict.fromkeys(wanted, 1)}), "--resume", *flags])


def _without(words: Sequence[str], gone: Mapping[str, int]) -> list[str]:
    """A command without some flags, which have so many values each."""
    values, kept, skip = {flag_of(name): count for name, count in gone.items()}, [], 0
    for word in words:
        flag, joins, _ = word.partition("=")
        if skip:
            skip -= 1
        elif flag in values:
            skip = 0 if joins else values[flag]
        else:
            kept.append(word)
    return kept


def _typed(value: object) -> str:
    """A value as it is typed, without losing a digit."""
    return str(value).removesuffix(".0")


def _called(recipe: str, header: Header) -> str:
    """What a recipe's rows are called: a journal may have it as it was typed."""
    try:
        return resolve(recipe, header.spec.get("named", {})).name
    except UsageError:
        return recipe


def title(rows: Sequence[Row]) -> str:
    """What the report is about."""
    models = " and ".join(dict.fromkeys(row.model for row in rows)) or "no model"
    return f"{models}: which optimization to deploy"


def setting(header: Header, rows: Sequence[Row]) -> str:
    """Where, when and on what the rows were measured, and how they ended."""
    if not rows:
        return "No rows."
    row = rows[0]
    machine = header.environment.get("cpu" if row.device == "cpu" else "gpu0")
    where = f"on {row.device}" + (f" ({machine})" if machine else "")
    environments = len(by_environment(rows))
    if environments > 1:
        where = f"in {environments} environments"
    threads = "thread" if row.threads == 1 else "threads"
    counts = Counter(STATUS_WORDS[one.status] for one in rows)
    ended = joined([f"{count} {word}" for word, count in counts.items()])
    return (
        f"Measured {header.started_at[:10]} {where} with {row.threads} {threads}: "
        f"{row.image_size} px images, weights {row.weights}, data {row.data}, seed {row.seed}. "
        f"{len(rows)} rows: {ended}."
    )


def environment(header: Header) -> dict[str, str]:
    """Everything that is known of the machine and the run, flat."""
    energy = {"energy": header.energy} if header.energy else {}
    return _flat({**header.identity, **header.environment, **energy, "started": header.started_at})


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        elif isinstance(value, (list, tuple)):
            flat[prefix + name] = ", ".join(str(item) for item in value)
        else:
            flat[prefix + name] = str(value)
    return flat
