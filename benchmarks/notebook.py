"""Results of a long benchmark, kept on the disk as they come: what is there already is not measured again."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

import densebench

SOURCES = sorted(Path(densebench.__file__).parent.rglob("*.py"))
CODE = hashlib.sha256(b"".join(file.read_bytes() for file in SOURCES)).hexdigest()[:8]


def kind_of(key: str) -> str:
    """The part of the benchmark that a key belongs to: `jit` of `jit 3`."""
    return key.rpartition(" ")[0]


class Notebook:
    """A line of JSON for each result: key, result, seconds, and which state of the code it is of.

    A run that goes on where another was stopped may mix several states.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self._path = path
        self._console = console
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be cut short
        path.write_text("".join(json.dumps(line) + "\n" for line in whole), encoding="utf-8")
        self.found: dict[str, Any] = {}
        self.codes: set[str] = set()
        self.seconds = 0.0
        self._longest_s: dict[str, float] = defaultdict(float)
        for key, result, seconds, code in whole:
            self._keep(key, result, seconds, code)

    def _keep(self, key: str, result: Any, seconds: float, code: str) -> None:
        self.found[key] = result
        self.codes.add(code)
        self.seconds += seconds
        self._longest_s[kind_of(key)] = max(self._longest_s[kind_of(key)], seconds)

    def longest_s(self, key: str) -> float:
        """The seconds that a result of this kind took at most; of any kind, where none is there yet."""
        return self._longest_s.get(kind_of(key)) or max(self._longest_s.values(), default=0.0)

    def take(self, key: str, measure: Callable[[], Any]) -> Any:
        """The result of this key, measured now if it isn't there."""
        if key not in self.found:
            started = time.monotonic()
            result = measure()
            spent_s = round(time.monotonic() - started, 1)
            self._keep(key, result, spent_s, CODE)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, result, spent_s, CODE]) + "\n")
            self._console.print(f"{key}: {result}  {spent_s:.0f} s", highlight=False, soft_wrap=True)
        return self.found[key]

    def of(self, kind: str, recipe: str = "") -> list[Any]:
        """The results of a kind, in their order; of one recipe, where each has several."""
        found = [value for key, value in self.found.items() if kind_of(key) == kind]
        return [value[recipe] for value in found if recipe in value] if recipe else found
