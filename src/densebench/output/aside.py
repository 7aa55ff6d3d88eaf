"""What an earlier run left in the two folders, and how it is moved out of the way."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from densebench.artifacts.manifest import MANIFEST
from densebench.errors import InputError
from densebench.executors.local import REFERENCE
from densebench.executors.site import LOG, MODELS
from densebench.files import check_writable
from densebench.report.write import HTML, MARKDOWN, README
from densebench.results import journal
from densebench.sinks.csv_file import CSV
from densebench.sinks.event_file import event_files
from densebench.sinks.log_folder import OWNER, owner

PROFILES = "profile"  # in the log folder
PREVIOUS = "previous"
BEST = "best"  # a link to the artifact to deploy


def set_aside(output_dir: Path, log_dir: Path, *, going_on: str = "") -> None:
    """Move what an earlier run wrote into the two folders into `previous/<time>/` of the output folder.

    Whatever else is there stays where it is: the folders may be the user's own.

    Args:
        output_dir: where results go.
        log_dir: where logs go.
        going_on: when the run began that is resumed there: only logs of another run are moved.

    """
    results = _results(output_dir) if not going_on and (output_dir / journal.FILE_NAME).exists() else []
    # logs of a run into another output folder would be written over
    others = event_files(log_dir) and not (going_on and owner(log_dir) in ("", going_on))
    logs = _logs(log_dir) if results or others else []
    if not (results or logs):
        return
    aside = output_dir / PREVIOUS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside.mkdir(parents=True)
    for path in logs:
        _move(path, log_dir, aside / "tensorboard")
    for path in results:
        _move(path, output_dir, aside)


def _results(output_dir: Path) -> list[Path]:
    """What runs leave in an output folder, the journal last: without it nothing of the rest would be moved again."""
    names = (CSV, HTML, MARKDOWN, README, LOG, REFERENCE, journal.FILE_NAME)
    models = [manifest.parent for manifest in (output_dir / MODELS).glob(f"*/{MANIFEST}")]
    best = [link] if (link := output_dir / BEST).is_symlink() else []
    return [*best, *models, *(path for name in names if (path := output_dir / name).exists())]


def _logs(log_dir: Path) -> list[Path]:
    """What runs leave in a log folder: profiles, and event files no deeper than a recipe's batch size."""
    folders = [log_dir, *log_dir.glob("*"), *log_dir.glob("*/bs*")]
    return [
        *(file for one in folders for file in event_files(one)),
        *(path for name in (PROFILES, OWNER) if (path := log_dir / name).exists()),
    ]


def _move(path: Path, root: Path, aside: Path) -> None:
    """Move it to the same place below another folder; a folder that is empty then goes."""
    target = aside / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    with suppress(OSError):
        if path.parent != root:
            path.parent.rmdir()


def check_folders(output_dir: Path, log_dir: Path) -> None:
    """Refuse folders that can't be written to, that would be moved with one another, or that hold a user's report.

    Raises:
        InputError: with what to change.

    """
    check_writable(output_dir)
    check_writable(log_dir)
    out, logs = output_dir.resolve(), log_dir.resolve()
    for one, flag, other, names in (
        (out, "--output-dir", logs, (PROFILES,)),
        (logs, "--log-dir", out, (MODELS, PREVIOUS)),
    ):
        for name in names:
            if one.is_relative_to(other / name):
                raise InputError(f"{flag} {one} lies in {other / name}, which runs move: name another {flag}")
    if (output_dir / journal.FILE_NAME).exists():
        return
    for name in (README, MARKDOWN, HTML, CSV):
        if (output_dir / name).exists():
            raise InputError(
                f"{output_dir / name} is of no run here and would be written over: name another --output-dir"
            )
