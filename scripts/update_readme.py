"""Put the figures of a results folder into the README, or check that they are there.

    python scripts/update_readme.py results [--readme README.md] [--check]

Exits 0 when the README is up to date, 1 when --check finds that it differs, 2 for a folder or file that
can't be used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from densebench import files
from densebench.errors import InputError
from densebench.report.markdown import parts
from densebench.report.readme import update
from densebench.results import journal
from densebench.results.assemble import confirmation_records, records
from densebench.results.derive import derive


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Put the figures of a results folder into the README.")
    parser.add_argument("folder", type=Path, help="a results folder with its journal")
    parser.add_argument("--readme", type=Path, default=Path(__file__).parents[1] / "README.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the README differs")
    given = parser.parse_args(arguments)
    try:
        header, observations = journal.read(given.folder)
        before = given.readme.read_bytes().decode("utf-8")
        measured = records(observations, header.identity, header.planned)
        rows = derive(measured, header.spec.get("recipes", ()), known=header.known)
        after = update(before, parts(header, rows, confirmation_records(observations, header.identity)))
        if after != before and not given.check:
            files.write_text(given.readme, after)
    except (InputError, OSError, UnicodeDecodeError) as error:
        print(f"update_readme: {error}", file=sys.stderr)
        return 2
    if after == before:
        print(f"{given.readme} is up to date")
        return 0
    print(f"{given.readme} differs from {given.folder}" if given.check else f"{given.readme} updated")
    return 1 if given.check else 0


if __name__ == "__main__":
    sys.exit(main())
