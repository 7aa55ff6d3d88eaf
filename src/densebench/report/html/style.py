"""What a recipe looks like: one colour and one marker in every chart and table, and what stands for its name.

Charts name colours by tokens ("@3"), which the page resolves for its light or its dark theme.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densebench.results.record import Row, recipes_in_order
from densebench.spec import BASELINE
from densebench.text import one_line

# Found by searching for the largest least distance (CIE Lab) under normal, protan, deutan and tritan vision, each
# at least 3.2:1 against the page. The first is the baseline's alone.
_LIGHT = ("#333333", "#5C89D7", "#DA6000", "#00A35B", "#5B3FA0", "#BE76AB", "#5C4E04", "#006E70")
_DARK = ("#E8E8E8", "#7F9CF9", "#FA4D2D", "#2FE08D", "#6D53E3", "#E280BC", "#E5DA38", "#017C67")
_KINDS_LIGHT = ("#2F3B4C", "#61708A", "#93A1B5", "#C0CAD6", "#EBEFF4")  # greys, lest they look like a recipe
_KINDS_DARK = ("#E6EBF2", "#AEBACB", "#7A889C", "#4E5A6C", "#2A323E")


def _named(series: Sequence[str], kinds: Sequence[str], ink: str, muted: str, grid: str) -> dict[str, str]:
    named = {f"@{index}": colour for index, colour in enumerate(series)}
    named |= {f"@kind{index}": colour for index, colour in enumerate(kinds)}
    return named | {"@ink": ink, "@muted": muted, "@grid": grid}


THEMES: Mapping[str, Mapping[str, str]] = {
    "light": _named(_LIGHT, _KINDS_LIGHT, "#1B1F24", "#57606A", "#D8DEE4"),
    "dark": _named(_DARK, _KINDS_DARK, "#E6EDF3", "#9AA6B2", "#333B45"),
}
SYMBOLS: Mapping[str, str] = {  # Plotly's name -> the same shape as a path in a box of 14 by 14
    "circle": "M2,7a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "square": "M2.5,2.5h9v9h-9Z",
    "diamond": "M7,1l6,6l-6,6l-6,-6Z",
    "triangle-up": "M7,1.5l5.5,10h-11Z",
    "triangle-down": "M7,12.5l5.5,-10h-11Z",
    "cross": "M5.2,1.5h3.6v3.7h3.7v3.6h-3.7v3.7h-3.6v-3.7h-3.7v-3.6h3.7Z",
    "pentagon": "M7,1.3l5.4,3.9l-2,6.4h-6.8l-2,-6.4Z",
    "star-square": "M7,4.5l5,-2.5l-2.5,5l2.5,5l-5,-2.5l-5,2.5l2.5,-5l-2.5,-5Z",
    "hourglass": "M2.5,1.5h9l-9,11h9Z",
}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_LINE = 24  # characters of a name before it is broken in two


@dataclass(frozen=True)
class Series:
    """The rows of one recipe (on one machine, where there are several), and how they are drawn."""

    name: str
    recipe: str
    colour: str  # a token
    symbol: str
    dash: str
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        """The name for a chart."""
        return chart_text(self.name)

    def holds(self, row: Row) -> bool:
        """Whether the row is one of this series."""
        return (row.recipe, row.environment_id) == (self.recipe, self.rows[0].environment_id)

    @property
    def mark(self) -> str:
        """The classes of its marker in the page."""
        return f"mark {self.symbol} s{self.colour[1:]}"


def series_of(rows: Sequence[Row]) -> list[Series]:
    """One series per recipe and machine, in the recipes' order. Seven colours by nine markers: 63 differ."""
    machines = list(dict.fromkeys(row.environment_id for row in rows))
    recipes = recipes_in_order(rows)
    others = [recipe for recipe in recipes if recipe != BASELINE]
    drawn = []
    for recipe in recipes:
        index = others.index(recipe) if recipe != BASELINE else -1
        colour = index % (len(_LIGHT) - 1) + 1 if index >= 0 else 0
        symbol = list(SYMBOLS)[(index + 1) % len(SYMBOLS)]
        for number, machine in enumerate(machines):
            own = tuple(row for row in rows if row.recipe == recipe and row.environment_id == machine)
            if not own:
                continue
            name = f"{recipe} @ {machine}" if len(machines) > 1 else recipe
            dash = DASHES[(max(index, 0) // (len(_LIGHT) - 1) + number) % len(DASHES)]
            drawn.append(Series(one_line(name, 120), recipe, f"@{colour}", symbol, dash, own))
    return drawn


def chart_text(text: str) -> str:
    """Text from the data for a chart, whose own markup it can't be; a long name on several short lines."""
    lines: list[str] = []
    for piece in _pieces(one_line(text, 120)):
        if lines and len(lines[-1]) + len(piece) <= _LINE:
            lines[-1] += piece
        else:
            lines.append(piece)
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def _pieces(text: str) -> Iterable[str]:
    """The text cut behind the signs that join a recipe's parts, and nowhere longer than a line."""
    piece = ""
    for character in text:
        piece += character
        if (character in "+:, _" and len(piece) > 6) or len(piece) == _LINE:
            yield piece
            piece = ""
    if piece:
        yield piece


def painted(value: Any, theme: str, key: str = "") -> Any:
    """A chart's specification with a theme's colours, as the page's script does it."""
    if isinstance(value, dict):
        return {name: painted(inner, theme, name) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [painted(inner, theme, key) for inner in value]
    if isinstance(value, str) and "color" in key:  # a recipe may be called like a token
        return THEMES[theme].get(value, value)
    return value
