"""The source of truth: a file of lines that only grows.

Line 1 says what the run is (`{"type": "run", ...}`); every further line is one record
(`{"type": "row", ...}`), on the disk before the next cell starts, or says what a resume asked for beyond that
(`{"type": "resume", ...}`). A crash can cut the last line short, and nothing else, so that is the one damage that
reading forgives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from densebench.atomic import sync_folder
from densebench.errors import InputError
from densebench.record import Record
from densebench.sinks.header import FORMAT_VERSION, Header, Resume

__all__ = ["FILE_NAME", "FORMAT_VERSION", "Header", "Journal", "create", "read", "reopen"]

FILE_NAME = "journal.jsonl"


class Journal:
    """An open journal. Every `append` is on the disk when it returns."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def append(self, record: Record) -> None:
        """Add one record and sync.

        Raises:
            OSError: it could not be written (disk full); the file ends after its last whole line.

        """
        facts = set(Record.model_fields)  # of a Row too: its figures follow from these
        self._write({"type": "row", **record.model_dump(mode="json", include=facts)})

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _write(self, line: Mapping[str, object]) -> None:
        rest = memoryview(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        end = self._file.seek(0, os.SEEK_END)
        try:
            while rest:  # an unbuffered write may take a part only
                rest = rest[self._file.write(rest) or 0 :]
            os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                self._file.truncate(end)
            raise


def create(folder: Path, header: Header) -> Journal:
    """Start a journal in `folder`, which is made if it is missing.

    Raises:
        InputError: the folder already holds a journal, or can't be written to.

    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(FileIO(path, "x+"))
    except FileExistsError:
        message = f"{path} already exists: name another --output-dir, or --resume"
        raise InputError(message) from None
    except OSError as error:
        message = f"{path} can't be written ({error.strerror}): name another --output-dir"
        raise InputError(message) from None
    try:
        journal._write({"type": "run", **header.model_dump(mode="json")})  # noqa: SLF001 - this module's own
    except BaseException:
        journal.close()
        path.unlink(missing_ok=True)  # without its header it would only stand in the way
        raise
    sync_folder(folder)
    return journal


def read(folder: Path) -> tuple[Header, list[Record]]:
    """The header and all records, in the order they were written. A last line cut short is left out.

    Raises:
        InputError: no journal, an empty one, an unknown format, or a damaged line, by file and line number.

    """
    header, records, _ = _parse(folder / FILE_NAME)
    return header, records


def reopen(
    folder: Path, header: Header, steps: Mapping[str, str] | None = None
) -> tuple[Journal, Header, list[Record]]:
    """Open a journal to go on with it, as `--resume` does. A last line cut short is removed from the file.

    Args:
        folder: the folder that it is in.
        header: of the run that goes on with it.
        steps: the one-line form of each recipe that this run is to measure.

    Returns:
        the journal, the header of the whole run with what this one adds to it, and the records so far.

    Raises:
        InputError: as `read`, or the journal is of another run (its identity or a recipe differs).

    """
    path = folder / FILE_NAME
    found, records, whole = _parse(path)
    for key in [*found.identity, *header.identity]:
        _same(path, key, found.identity.get(key, "not set"), header.identity.get(key, "not set"))
    for record in records:
        _same(path, f"recipe {record.recipe}", record.steps, (steps or {}).get(record.recipe, record.steps))
    try:
        file = FileIO(path, "r+")
        file.truncate(whole)
    except OSError as error:
        message = f"{path} can't be written ({error.strerror}): name another --output-dir"
        raise InputError(message) from None
    journal = Journal(file)
    more = Resume(spec=header.spec, notes=header.notes, command=header.command, started_at=header.started_at)
    together = found.continued(more)
    if together != found:
        journal._write({"type": "resume", **more.model_dump(mode="json")})  # noqa: SLF001 - this module's own
    return journal, together, records


def _same(path: Path, what: str, before: str | int, now: str | int) -> None:
    if before != now:
        message = (
            f"{path} can't be resumed: {what} was {before} and is now {now}; "
            "name another --output-dir, or drop --resume"
        )
        raise InputError(message)


def _parse(path: Path) -> tuple[Header, list[Record], int]:
    """Header, records, and the length in bytes of the whole lines."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        message = f"{path} does not exist: name the --output-dir of an earlier run"
        raise InputError(message) from None
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise InputError(message) from None
    whole = content.rfind(b"\n") + 1
    if not whole:
        message = f"{path} line 1: no whole line, so there is nothing to read; start a new run"
        raise InputError(message)
    lines = content[: whole - 1].split(b"\n")  # not splitlines(): text may hold other line separators
    header = _header(path, _load(path, 1, lines[0], "run")[1])
    records = []
    for number, line in enumerate(lines[1:], start=2):
        kind, values = _load(path, number, line, "row", "resume")
        if kind == "row":
            records.append(_record(path, number, values))
        else:
            header = header.continued(_resume(path, number, values))
    return header, records, whole


def _load(path: Path, number: int, line: bytes, *kinds: str) -> tuple[str, dict[str, Any]]:
    try:
        value = from_json(line)  # refuses halves of characters, which no file could be written with
    except ValueError as error:
        message = f"{path} line {number} is damaged ({error}): restore the file or start a new run"
        raise InputError(message) from None
    kind = value.pop("type", None) if isinstance(value, dict) else None
    if kind not in kinds:
        known = '" or "'.join(kinds)
        message = f'{path} line {number} is not a line of type "{known}": restore the file or start a new run'
        raise InputError(message)
    return kind, value


def _header(path: Path, values: dict[str, Any]) -> Header:
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        message = (
            f"{path} line 1: format_version {version!r} is unknown here (known: {FORMAT_VERSION}); "
            "use the densebench that wrote it"
        )
        raise InputError(message)
    try:
        return Header.model_validate(values)
    except ValidationError as error:
        raise InputError(_fault(path, 1, error)) from None


def _resume(path: Path, number: int, values: dict[str, Any]) -> Resume:
    try:
        return Resume.model_validate(values)
    except ValidationError as error:
        raise InputError(_fault(path, number, error)) from None


def _record(path: Path, number: int, values: dict[str, Any]) -> Record:
    try:
        record = Record.model_validate(values)
    except ValidationError as error:
        raise InputError(_fault(path, number, error)) from None
    sound = {  # divided by, taken the logarithm of, and paired
        "batch_size": record.batch_size > 0,
        "samples_ms": all(block and min(block) > 0 for block in record.samples_ms),
        "beside_ms": len(record.beside_ms) in (0, len(record.samples_ms))
        and all(min(block, default=1) > 0 for block in record.beside_ms),
        "turns": _sound_turns(record),
        "rounds": len(record.rounds) in (0, len(record.samples_ms)),
        "page_faults": len(record.page_faults) in (0, len(record.samples_ms)),
    }
    for field, fine in sound.items():
        if not fine:
            message = f"{path} line {number} is damaged ({field}): restore the file or start a new run"
            raise InputError(message)
    return record


def _sound_turns(record: Record) -> bool:
    """Whether the turns that a process had, if it had any, are all of its calls and of those beside it."""
    if not record.turns:
        return True
    sides = list(zip(record.samples_ms, record.beside_ms, strict=True)) if record.beside_ms else []
    return len(record.turns) == len(sides) and all(
        min(map(min, turns)) > 0 and tuple(map(sum, zip(*turns, strict=True))) == (len(own), len(theirs))
        for turns, (own, theirs) in zip(record.turns, sides, strict=True)
        if turns
    )


def _fault(path: Path, number: int, error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{path} line {number} is damaged ({field}: {first['msg']}): restore the file or start a new run"
