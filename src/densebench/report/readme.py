"""Measured text in the README, between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`.

What stands outside the markers is written by hand and kept to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from densebench.errors import InputError

_MARKER = re.compile(r"<!-- (/?)generated:([a-z]+) -->")


def update(readme: str, parts: Mapping[str, str]) -> str:
    """The README with every generated part replaced; the same again where nothing changed.

    Raises:
        InputError: no markers, one without its other half, one twice, or a part that is not known.

    """
    pieces: list[str] = []
    kept_from = 0
    opened: tuple[str, int] | None = None
    seen: set[str] = set()
    for marker in _MARKER.finditer(readme):
        closing, name = marker.groups()
        if name not in parts:
            raise InputError(f"{_at(readme, marker)}: unknown part '{name}' (known: {', '.join(parts)})")
        if not closing and opened is None and name not in seen:
            opened = (name, marker.end())
            seen.add(name)
        elif closing and opened is not None and opened[0] == name:
            pieces += [readme[kept_from : opened[1]], "\n", parts[name].strip("\n"), "\n"]
            kept_from, opened = marker.start(), None
        else:
            raise InputError(f"{_at(readme, marker)}: '{name}' is opened or closed out of turn")
    if opened is not None:
        raise InputError(f"README: '{opened[0]}' is opened and never closed")
    if not seen:
        raise InputError(f"README: no marker such as <!-- generated:{next(iter(parts))} -->")
    return "".join([*pieces, readme[kept_from:]])


def _at(readme: str, marker: re.Match[str]) -> str:
    return f"README line {readme.count(chr(10), 0, marker.start()) + 1}"
