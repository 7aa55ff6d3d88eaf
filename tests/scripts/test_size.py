"""What `scripts/size.py` counts."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
CODE = """
LIMIT = 3
SHARE: float = -0.5
LEAST, MOST = 1, 2
RANGE = (1e-6, 1e9)
LARGE = 1 << 60
NAME, FLAG, COUNT = "x", True, len("x")
later: int
DERIVED = 2 * LIMIT

class A:
    field: float = 0.0
    name: str = ""

    def method(self) -> int:
        inside = 3
        return inside
"""


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("size")


def test_a_constant_is_a_number_that_a_module_names(size: ModuleType, tmp_path: Path) -> None:
    """Not a string, a truth value, the result of a call or of another name; a class's numbers are told apart."""
    file = tmp_path / "some.py"
    file.write_text(CODE, encoding="utf-8")
    assert size.constants(file) == (6, 1)
    assert size.lines(file) == len(CODE.splitlines())


def test_the_files_of_the_list_are_there(size: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, with what it has; then the sums."""
    size.main()
    said = capsys.readouterr().out.splitlines()
    figures = [line.split() for line in said[1 : 1 + len(size.MEASURING)]]
    assert [name for *_, name in figures] == [*size.MEASURING]
    together = said[-2].split()
    for column in range(3):
        assert int(together[column]) == sum(int(one[column]) for one in figures)
