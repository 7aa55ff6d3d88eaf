"""Write what follows from the recorded journals anew, after a change of an estimator or of the report's words.

    python scripts/update_replay.py

`tests/replay/test_replay.py` compares byte for byte, so that such a change is seen, and can be judged by the diff.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from densebench.cli.report import write_again
from densebench.results.journal import FILE_NAME
from densebench.sinks.csv_file import CSV

FOLDER = Path(__file__).parents[1] / "tests" / "replay"
FILES = (CSV, "REPORT.md")


def replayed(journal: Path) -> dict[str, str]:
    """CSV and report of a recorded journal, by the names of their files."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "results"
        folder.mkdir()
        shutil.copyfile(journal, folder / FILE_NAME)
        write_again(folder, {})
        return {name: (folder / name).read_text(encoding="utf-8").replace(scratch, "") for name in FILES}


if __name__ == "__main__":
    for recorded in sorted(FOLDER.glob(f"*/{FILE_NAME}")):
        for name, text in replayed(recorded).items():
            (recorded.parent / name).write_text(text, encoding="utf-8")
