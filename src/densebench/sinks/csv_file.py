"""`benchmark_results.csv`: every row, every column of the one table, in its order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from densebench import atomic
from densebench.record import COLUMNS, Row


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, replacing the file in one step.

    Raises:
        OSError: the file can't be written; the old one is intact.

    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in COLUMNS])
    writer.writerows([column.text(row) for column in COLUMNS] for row in rows)
    atomic.write_text(path, text.getvalue())
