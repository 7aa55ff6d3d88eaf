"""What a recipe looks like: one colour and one marker in every chart and table, and what stands for its name.

Charts name colours by tokens ("@3"), which the page resolves for its light or its dark theme.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densebench.record import BASELINE, Row, recipes_in_order
from densebench.wording import one_line

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
SYMBOLS: Mapping[str, str] = {  # Plotly's name -> the same shape as an SVG path around (0, 0)
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "square": "M-4.5,-4.5H4.5V4.5H-4.5Z",
    "diamond": "M0,-6L6,0L0,6L-6,0Z",
    "triangle-up": "M0,-5.5L5.5,4.5H-5.5Z",
    "triangle-down": "M0,5.5L5.5,-4.5H-5.5Z",
    "cross": "M-1.8,-5.5H1.8V-1.8H5.5V1.8H1.8V5.5H-1.8V1.8H-5.5V-1.8H-1.8Z",
    "pentagon": "M0,-5.7L5.4,-1.8L3.4,4.6H-3.4L-5.4,-1.8Z",
    "star-square": "M0,-2.5L5,-5L2.5,0L5,5L0,2.5L-5,5L-2.5,0L-5,-5Z",
    "hourglass": "M-4.5,-5.5H4.5L-4.5,5.5H4.5Z",
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
    def path(self) -> str:
        """The marker as an SVG path."""
        return SYMBOLS[self.symbol]


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
