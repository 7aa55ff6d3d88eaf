"""How much code measures how much faster, and how much there is of all.

    python scripts/size.py

Prints the lines and the numeric constants of each file that does today what 2,623 lines and 55 constants did before
rounds and pairs were fixed, their sums, and the lines of all of `src`.

Lines are all lines of a Python file. A numeric constant is a name to which a module gives a number literal, annotated
or not (`LIMIT = 3`, `LIMIT: float = -0.5`; `A, B = 1, 2` are two). Arithmetic on literals counts too (`1 << 60`), and
a tuple of numbers as one; `True` and `False` are no numbers. What the body of a class names so is mostly the default
of a field, such as a count that begins at 0: it stands in a column of its own and wasn't among the 55.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
MEASURING = (
    *("planners/sweep.py", "planners/tasks.py", "executors/round.py", "executors/site.py"),
    *("measure/process.py", "measure/timer.py", "measure/interleave.py"),
    *("measure/reference.py", "measure/reference_process.py", "processes/pool.py"),
    *("machine/interference.py", "machine/counters.py", "machine/idle.py"),
    *("results/current.py", "stats/speedup.py", "report/reliability.py"),
)
BEFORE = {"lines": 2623, "constants": 55, "lines of src": 27_634}


def lines(file: Path) -> int:
    """All lines of a file."""
    return len(file.read_text(encoding="utf-8").splitlines())


def constants(file: Path) -> tuple[int, int]:
    """The numeric constants of a file, and the numbers in its classes, by the rule above."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = (node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return _count(tree.body), sum(map(_count, classes))


def _count(body: Sequence[ast.stmt]) -> int:
    return sum(
        _numbers(target, one.value)
        for one in body
        if isinstance(one, ast.Assign | ast.AnnAssign) and one.value is not None
        for target in (one.targets if isinstance(one, ast.Assign) else [one.target])
    )


def _numbers(target: ast.expr, value: ast.expr) -> int:
    """How many names of this target get a number."""
    if isinstance(target, ast.Tuple):
        values = value.elts if isinstance(value, ast.Tuple) else []
        return sum(_numbers(one, given) for one, given in zip(target.elts, values, strict=False))
    return int(_is_number(value))


def _is_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=literal):
            return isinstance(literal, int | float) and not isinstance(literal, bool)
        case ast.UnaryOp(operand=operand):
            return _is_number(operand)
        case ast.BinOp(left=left, right=right):
            return _is_number(left) and _is_number(right)
        case ast.Tuple(elts=elements):
            return bool(elements) and all(map(_is_number, elements))
    return False


def main() -> None:
    """Print a line a file, and the sums."""
    package = SOURCE / "densebench"
    every = [(lines(package / name), *constants(package / name)) for name in MEASURING]
    print(f"{'lines':>6} {'constants':>9} {'in classes':>10}")
    for name, figures in zip(MEASURING, every, strict=True):
        print(_line(figures, name))
    together = tuple(map(sum, zip(*every, strict=True)))
    print(_line(together, f"together (before: {BEFORE['lines']} lines, {BEFORE['constants']} constants)"))
    whole = sum(lines(file) for file in SOURCE.rglob("*.py"))
    print(f"{whole:6} lines in all of src (before: {BEFORE['lines of src']})")


def _line(figures: Sequence[int], words: str) -> str:
    long, numbers, in_classes = figures
    return f"{long:6} {numbers:9} {in_classes:10} {words}"


if __name__ == "__main__":
    main()
