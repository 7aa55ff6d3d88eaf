"""`report.html` put together: everything that it says, filled into the page's template.

The page holds all that it needs and may load nothing: its content security policy allows the two scripts that it
carries, by their hashes, and no address at all. The template escapes whatever comes from the data.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from densebench.report.analysis import PERFORMANCE, SHOWN, TRADE_OFFS, limits
from densebench.report.facts import environment, setting, sweep_of, title
from densebench.report.html.comparison import comparison
from densebench.report.html.matrix import matrix
from densebench.report.html.sections import sections
from densebench.report.html.style import SYMBOLS, THEMES, series_of
from densebench.report.html.template import ASSETS, style, template, trusted
from densebench.report.html.tiles import tiles
from densebench.report.recommendation import recommendations
from densebench.report.reliability import missing
from densebench.report.sweep import apply
from densebench.results.journal import Header
from densebench.results.record import Record, Row
from densebench.text import one_line


def page(
    header: Header,
    rows: Sequence[Row],
    log_dirs: Sequence[Path] = (),
    confirmation: Sequence[Record] = (),
) -> str:
    """The whole of `report.html`.

    Args:
        header: the run.
        rows: its rows, failed and skipped ones too.
        log_dirs: folders in which the rows' profiler traces may lie, the likeliest first.
        confirmation: the records of the rounds that confirm the choice.

    """
    from plotly.offline import get_plotlyjs

    sweep = sweep_of(header, rows, confirmation)
    chosen = sweep.chosen
    series = series_of(rows)
    shown = sections(sweep, series, chosen, log_dirs)
    scripts = {"plotly": get_plotlyjs(), "script": (ASSETS / "page.js").read_text(encoding="utf-8")}
    data = {"themes": THEMES, "charts": [chart.spec() for section in shown for chart in section.charts]}
    return template("page.html").render(
        title=one_line(title(rows)),
        setting=one_line(setting(header, rows), 2000),
        recommendations=recommendations(sweep),
        tiles=tiles(sweep, chosen),
        matrix=matrix(sweep, series, chosen),
        table=comparison(rows, series, chosen),
        missing=apply((missing,), sweep),
        sections=shown,
        performance=apply(PERFORMANCE, sweep),
        trade_offs=apply(TRADE_OFFS, sweep),
        limits=limits(sweep),
        notes=[one_line(note, 2000) for note in header.notes],
        environment=environment(header),
        command=one_line(header.command, 4000),
        most=SHOWN,
        themes=THEMES,
        symbols=SYMBOLS,
        style=style(),
        data=trusted(as_json(data)),
        hashes=[_hash(script) for script in scripts.values()],
        **{name: trusted(script) for name, script in scripts.items()},
    )


def as_json(data: object) -> str:
    """JSON that no text in it can lead out of its script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
