"""`REPORT.md` over several results folders."""

from __future__ import annotations

from densebench.report.across import GAINS, NO_MOVES, TEXT_COLUMNS, TITLE, Across
from densebench.report.tables import MISSING, escape, table
from densebench.text import times


def across_markdown(said: Across) -> str:
    """The whole of it, with text from the data escaped."""
    answers = table(
        [escape(heading) for heading in said.headings],
        [[escape(cell) if cell != MISSING else cell for cell in line] for line in said.answers],
        TEXT_COLUMNS,
    )
    headlines = zip(said.runs, said.headlines, strict=True)
    moves = "\n".join(f"- {escape(move)}" for move in said.moves)
    sections = [
        f"# {TITLE}",
        f"## The best of each\n\n{answers}",
        "\n\n".join(f"**{escape(name)}**: {escape(sentence)}" for name, sentence in headlines),
        f"## Recipe by recipe\n\n{GAINS}\n\n{_gains(said)}",
        f"## Where recipes rank differently\n\n{moves or NO_MOVES}",
    ]
    return "\n\n".join(sections) + "\n"


def _gains(said: Across) -> str:
    lines = [
        [escape(name), *(f"{times(gain.ratio)} ({gain.place})" if gain else MISSING for gain in gains)]
        for name, gains in said.gains.items()
    ]
    return table(["recipe", *map(escape, said.runs)], lines)
