"""The report's files, each replaced in one step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densebench import files
from densebench.report.markdown import report, summary
from densebench.results.journal import Header
from densebench.results.record import Record, Row
from densebench.sinks.log_folder import owner

HTML = "report.html"
MARKDOWN = "REPORT.md"
README = "README.md"


def write_report(
    folder: Path, header: Header, rows: Sequence[Row], confirmation: Sequence[Record] = ()
) -> list[Path]:
    """Write the report into `folder` and say which files to open, the one to begin with first.

    Raises:
        OSError: a file can't be written; the old one is intact.

    """
    from densebench.report.html import page  # its libraries are not needed before the end of a run

    named = header.spec.get("log_dir")
    log_dirs = [
        # beside the results too, where the report is written again from another folder
        *([Path(str(named)), folder.parent / str(named)] if named else []),
        folder / "tensorboard",  # where a run set aside has it
    ]
    own = [path for path in log_dirs if owner(path) == header.started_at]
    log_dirs = own or [
        path for path in log_dirs if not owner(path)
    ]  # older runs have not said which are theirs
    texts = {
        HTML: page(header, rows, log_dirs, confirmation),
        MARKDOWN: report(header, rows, confirmation),
        README: summary(header, rows, confirmation),
    }
    for name, text in texts.items():
        files.write_text(folder / name, text)
    return [folder / name for name in texts]
