"""How figures and rows are put into words: the same on the console, in the report and in the README."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

WIDE = 3.0  # the upper end of an interval over its lower one


def short(value: float | None, digits: int = 3) -> str:
    """Three significant digits without an exponent, all digits before the point: 0.52, 33.1, 238, 1205."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = f"{value:.{decimals}f}"
    gained = len(rounded.lstrip("-0.").replace(".", "")) > digits and decimals > 0  # 9.999 -> 10.00
    return f"{value:.{decimals - 1}f}" if gained else rounded


def times(ratio: float | None) -> str:
    """A speed-up as `1.32x`."""
    return "" if ratio is None else f"{ratio:.2f}x"


def spread(ratios: Sequence[float]) -> str:
    """Several speed-ups as the range they span: `1.00x to 1.02x`."""
    low, high = times(min(ratios)), times(max(ratios))
    return low if low == high else f"{low} to {high}"


def is_wide(low: float | None, high: float | None) -> bool:
    """Whether the ends of a speed-up's interval are so far apart that ± would mislead."""
    return low is not None and high is not None and high > WIDE * low


def interval_text(low: float | None, high: float | None, sign: str = "±") -> str:
    """A speed-up's interval as half its width, `±0.04`; a wide one as its ends, `(1.20 to 4.52)`."""
    if low is None or high is None:
        return ""
    return f"({low:.2f} to {high:.2f})" if is_wide(low, high) else f"{sign}{(high - low) / 2:.2f}"


def points(value: float) -> str:
    """Percentage points, in words."""
    return f"{value:g} percentage point{'' if value == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds for a person: `0.4 s`, `42 s`, `7 min`, `2 h 5 min`."""
    if seconds < 10:
        return f"{short(seconds, 2)} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def measured_on(images: int, there_are: int, all_s: float | None) -> str:
    """That accuracy is of some of the images; with what all of them would take where that was the reason."""
    why = f": all would take about {duration(all_s)}" if all_s else ""
    return f"Accuracy is measured on {images:,} of {there_are:,} images (the same for every recipe){why}."


def one_line(text: str, limit: int = 300) -> str:
    """Text from elsewhere as one line: control and escape codes out, spaces joined, cut at `limit`."""
    without_escapes = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", without_escapes).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


MOST_NAMED = 6  # recipes that a reader still takes in by name


def recipes(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """`a, b and c`, or `13 recipes` where there are too many to read."""
    return joined(names) if len(names) <= most else f"{len(names)} recipes"


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def batches(sizes: Iterable[int]) -> str:
    """`batch 8`, `batches 1, 8 and 32`."""
    ordered = sorted(set(sizes))
    return ("batch " if len(ordered) == 1 else "batches ") + joined([str(size) for size in ordered])


def folder_name(recipe: str) -> str:
    """A recipe's name as a folder's: characters other than a-z, 0-9, dot, underscore and hyphen become underscores.

    So do dots at its beginning, which would hide the folder or lead out of its parent.
    """
    return re.sub(r"^\.+|[^a-z0-9._-]", "_", recipe)
