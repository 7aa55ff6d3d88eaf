"""The report's files, each replaced in one step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densebench import atomic
from densebench.record import Row
from densebench.report.markdown import report
from densebench.sinks.journal import Header

FILE_NAME = "REPORT.md"


def write_report(folder: Path, header: Header, rows: Sequence[Row]) -> list[Path]:
    """Write the report into `folder` and say which files to open.

    Raises:
        OSError: a file can't be written; the old one is intact.

    """
    path = folder / FILE_NAME
    atomic.write_text(path, report(header, rows))
    return [path]
