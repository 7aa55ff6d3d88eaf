"""Which names stand beside the markers of a chart, and on which side: none over another, or over a marker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# The plot is as wide as its window lets it be; in a narrow one names would have less room than this.
WIDTH_PX, HEIGHT_PX = 620.0, 330.0
CHARACTER_PX, LINE_PX, MARKER_PX = 7.0, 17.0, 16.0
SIDES = ("top left", "bottom left", "top right", "bottom right")


@dataclass(frozen=True)
class Spot:
    """A marker, as shares of the plot's width and height from its lower left corner, and its name or none."""

    x: float
    y: float
    name: str = ""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether they have points in common."""
        apart_x = self.right <= other.left or other.right <= self.left
        return not (apart_x or self.top <= other.bottom or other.top <= self.bottom)


def sides(spots: Sequence[Spot]) -> list[str]:
    """For each spot the side on which its name has room, as Plotly calls it; empty where there is none.

    Who comes first chooses first.
    """
    markers = [_marker(spot) for spot in spots]
    written: list[Box] = []
    chosen = []
    for spot, marker in zip(spots, markers, strict=True):
        taken = [*written, *(other for other in markers if other is not marker)]
        free = ((side, box) for side, box in _boxes(spot) if not any(map(box.meets, taken)))
        side, box = next(free, ("", None))
        chosen.append(side)
        written += [box] if box else []
    return chosen


def _marker(spot: Spot) -> Box:
    x, y, half = spot.x * WIDTH_PX, spot.y * HEIGHT_PX, MARKER_PX / 2
    return Box(x - half, y - half, x + half, y + half)


def _boxes(spot: Spot) -> Iterator[tuple[str, Box]]:
    """Where its name could stand inside of the plot's width; in the left half rather on the right."""
    x, y, wide = spot.x * WIDTH_PX, spot.y * HEIGHT_PX, CHARACTER_PX * (2 + len(spot.name))
    for side in sorted(SIDES if spot.name else (), key=lambda side: side.endswith("left") != (spot.x > 0.5)):
        left = x - wide if side.endswith("left") else x
        bottom = y + MARKER_PX / 2 if side.startswith("top") else y - MARKER_PX / 2 - LINE_PX
        if left >= 0 and left + wide <= WIDTH_PX:
            yield side, Box(left, bottom, left + wide, bottom + LINE_PX)
