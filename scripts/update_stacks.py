"""Write docs/stacks.md: which techniques and engines go together, found by asking for each pair.

    python scripts/update_stacks.py [--check]

Exits 0 when the file is up to date, 1 when --check finds that it differs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from densebench import engines, techniques
from densebench.engines.base import Engine
from densebench.errors import UsageError
from densebench.recipes.parse import resolve
from densebench.techniques.base import worth_trying

FILE = Path(__file__).parents[1] / "docs" / "stacks.md"
HEAD = """# What goes with what

Made by `scripts/update_stacks.py` from the code. A recipe is written left to right: techniques, then one engine.
`yes` says that the two fit and that there is a device on which both can run: `densebench list` says what this machine
lacks.

"""


def refusal(stack: str) -> str:
    """Why the stack is refused, or ""."""
    try:
        resolve(stack, {})
    except UsageError as error:
        return str(error).partition(": ")[2]
    return ""


def table(title: str, rows: list[str], columns: list[str]) -> list[str]:
    """A Markdown table of the pairs row+column, with a numbered note for each refusal."""
    notes: list[str] = []
    lines = [f"## {title}", "", "| |" + "|".join(f" `{name}` " for name in columns) + "|"]
    lines.append("|" + " --- |" * (len(columns) + 1))
    for row in rows:
        cells = []
        for column in columns:
            reason = refusal(f"{row}+{column}")
            if reason and reason not in notes:
                notes.append(reason)
            cells.append(f"no ({notes.index(reason) + 1})" if reason else "yes")
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return [*lines, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), ""]


def forms(engine: Engine) -> list[str]:
    """The engine by its name, and with each choice of an option that has it refuse something else."""
    plain = engine.options()
    found = [engine.name]
    tried = {name: option.values for name, option in worth_trying(engine.options).items()}
    for name, field in engine.options.model_fields.items():
        for value in tried.get(name) or get_args(field.annotation):
            other = plain.model_copy(update={name: value})
            if engine.refuses_with(other.model_dump()) != engine.refuses_with(plain.model_dump()):
                found.append(f"{engine.name}:{name}={value}")
    return found


def text() -> str:
    """The whole page."""
    changes = sorted({technique.name for technique in techniques.catalogue().values()})
    runners = sorted({form for engine in engines.catalogue().values() for form in forms(engine)})
    first = table("A technique under an engine", changes, runners)
    second = table("A technique (row) before another (column)", changes, changes)
    return HEAD + "\n".join(first + second).rstrip() + "\n"


def main() -> int:
    """Run the command; returns its exit code."""
    fresh = text()
    same = FILE.exists() and FILE.read_text(encoding="utf-8") == fresh
    if "--check" in sys.argv:
        print(f"{FILE.name} is up to date" if same else f"{FILE.name} differs: run scripts/update_stacks.py")
        return int(not same)
    FILE.write_text(fresh, encoding="utf-8")
    print(f"{FILE.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
