"""Write the JSON schemas that ship in the package, from the models that print the JSON.

python scripts/update_schemas.py
"""

from __future__ import annotations

import json
from pathlib import Path

import densebench
from densebench.cli import steps
from densebench.report import answer

FOLDER = Path(densebench.__file__).parent / "schemas"


def texts() -> dict[str, str]:
    """Each schema's file name and content."""
    schemas = {"answer.json": answer.schema(), "list.json": steps.schema()}
    return {name: json.dumps(schema, indent=1) + "\n" for name, schema in schemas.items()}


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
