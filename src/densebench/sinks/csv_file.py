"""`benchmark_results.csv`: every row, every column of the one table, in its order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from densebench import files
from densebench.results.columns import COLUMNS
from densebench.results.record import Row

CSV = "benchmark_results.csv"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, replacing the file in one step.

    Raises:
        OSError: the file can't be written; the old one is intact.

    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in COLUMNS])
    writer.writerows([column.text(row) for column in COLUMNS] for row in rows)
    files.write_text(path, text.getvalue())
