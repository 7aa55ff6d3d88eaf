"""Presence in a folder is registration; other packages add theirs through an entry-point group."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """What can be registered."""

    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Named)


def discover(package: ModuleType, kind: type[T], group: str) -> dict[str, T]:
    """Every `kind` found in the package's modules and in the entry-point group, by name and alias.

    Modules whose name begins with `_` (the template) are passed over. An object counts once, under the name
    it carries; two objects that claim one name are a mistake of their authors.
    """
    found: dict[str, T] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for value in vars(module).values():
                if isinstance(value, kind):
                    _add(found, value)
    for entry in entry_points(group=group):
        value = entry.load()
        assert isinstance(value, kind), f"entry point {entry.value} is no {kind.__name__}"
        _add(found, value)
    return found


def _add(found: dict[str, T], value: T) -> None:
    for name in (value.name, *value.aliases):
        kept = found.setdefault(name, value)  # not in the assertion, which `python -O` leaves out
        assert kept is value, f"two registrations claim the name '{name}'"
