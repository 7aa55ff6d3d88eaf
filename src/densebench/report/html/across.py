"""`report.html` over several results folders: tables and sentences, without a script."""

from __future__ import annotations

from densebench.report.across import GAINS, NO_MOVES, TEXT_COLUMNS, TITLE, Across
from densebench.report.html.style import SYMBOLS, THEMES
from densebench.report.html.template import style, template


def across_page(said: Across) -> str:
    """The whole page."""
    known = [gain.ratio for gains in said.gains.values() for gain in gains if gain]
    return template("across.html").render(
        title=TITLE,
        said=said,
        headlines=list(zip(said.runs, said.headlines, strict=True)),
        text_columns=TEXT_COLUMNS,
        gains_note=GAINS,
        no_moves=NO_MOVES,
        most=max(known, default=1.0),
        hashes=[],
        themes=THEMES,
        symbols=SYMBOLS,
        style=style(),
    )
