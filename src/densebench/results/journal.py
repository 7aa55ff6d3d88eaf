"""The source of truth: a file of lines that only grows.

Line 1 says what the run is (`{"type": "run", ...}`). Every further line is one observation
(`{"type": "observation", "kind": "measure", ...}`), on the disk before the next task starts, or says what a resume
asked for beyond that (`{"type": "resume", ...}`). A crash can cut the last line short, and nothing else, so that is the
one damage that reading forgives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from densebench.errors import InputError
from densebench.files import sync_folder
from densebench.results.assemble import records
from densebench.results.header import FORMAT_VERSION, Header, Identity, Resume
from densebench.results.observation import BuildObservation, MeasureObservation, Observation, Status
from densebench.results.record import Record

__all__ = ["FILE_NAME", "FORMAT_VERSION", "Header", "Journal", "create", "read", "records_of", "reopen"]

FILE_NAME = "journal.jsonl"
OBSERVATION: TypeAdapter[Observation] = TypeAdapter(Observation)
LATENCY_MS = (1e-6, 1e9)  # of one call: less is no time on any clock, and more are 11 days
MOST = 1e15  # of any other figure: no sum, product or quotient of such overflows
SIGNED = {"output_sqnr_db", "energy_j_per_image"}  # all other figures are counts, times, shares and sizes


class Journal:
    """An open journal. Every `append` is on the disk when it returns."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def append(self, observation: Observation) -> None:
        """Add one observation and sync.

        Raises:
            OSError: it could not be written (disk full); the file ends after its last whole line.

        """
        self._write(
            {"type": "observation", **observation.model_dump(mode="json", exclude_defaults=True)}
            | {"kind": observation.kind}
        )

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


def read(folder: Path) -> tuple[Header, list[Observation]]:
    """The header and all observations, in the order they were made. A last line cut short is left out.

    Raises:
        InputError: no journal, an empty one, an unknown format, or a damaged line, by file and line number.

    """
    header, observations, _ = _parse(folder / FILE_NAME)
    return header, observations


def reopen(
    folder: Path, header: Header, steps: Mapping[str, str] | None = None
) -> tuple[Journal, Header, list[Observation]]:
    """Open a journal to go on with it, as `--resume` does. A last line cut short is removed from the file.

    Args:
        folder: the folder that it is in.
        header: of the run that goes on with it.
        steps: the one-line form of each recipe that this run is to measure.

    Returns:
        the journal, the header of the whole run with what this one adds to it, and the observations so far.

    Raises:
        InputError: as `read`, or the journal is of another run (its identity or a recipe differs).

    """
    path = folder / FILE_NAME
    found, observations, whole = _parse(path)
    for key in [*found.identity, *header.identity]:
        _same(path, key, found.identity.get(key, "not set"), header.identity.get(key, "not set"))
    for one in observations:
        if isinstance(one, BuildObservation):
            _same(path, f"recipe {one.recipe}", one.steps, (steps or {}).get(one.recipe, one.steps))
    try:
        file = FileIO(path, "r+")
        file.truncate(whole)
    except OSError as error:
        message = f"{path} can't be written ({error.strerror}): name another --output-dir"
        raise InputError(message) from None
    journal = Journal(file)
    more = Resume(**header.model_dump(include={*Resume.model_fields}))
    together = found.continued(more)
    if together != found:
        journal._write({"type": "resume", **more.model_dump(mode="json")})  # noqa: SLF001 - this module's own
    return journal, together, observations


def _same(path: Path, what: str, before: str | int, now: str | int) -> None:
    if before != now:
        message = (
            f"{path} can't be resumed: {what} was {before} and is now {now}; "
            "name another --output-dir, or drop --resume"
        )
        raise InputError(message)


def _parse(path: Path) -> tuple[Header, list[Observation], int]:
    """Header, observations, and the length in bytes of the whole lines."""
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
    observations: list[Observation] = []
    for number, line in enumerate(lines[1:], start=2):
        kind, values = _load(path, number, line, "observation", "resume")
        if kind == "observation":
            observations.append(_observation(path, number, values))
        else:
            header = header.continued(_resume(path, number, values))
    return header, observations, whole


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
        header = Header.model_validate(values)
        Identity.model_validate(header.identity)
    except ValidationError as error:
        raise InputError(_fault(path, 1, error)) from None
    return header


def _resume(path: Path, number: int, values: dict[str, Any]) -> Resume:
    try:
        return Resume.model_validate(values)
    except ValidationError as error:
        raise InputError(_fault(path, number, error)) from None


def _observation(path: Path, number: int, values: dict[str, Any]) -> Observation:
    try:
        found: Observation = OBSERVATION.validate_python(values)
    except ValidationError as error:
        raise InputError(_fault(path, number, error)) from None
    for field, fine in _sound(found):
        if not fine:
            message = f"{path} line {number} is damaged ({field}): restore the file or start a new run"
            raise InputError(message)
    return found


def _sound(one: Observation) -> Iterator[tuple[str, bool]]:
    """Whether each figure can be one: it is divided by, taken the logarithm of, and added up."""
    for name, value in _figures(one):
        yield name, (-MOST if name in SIGNED else 0) <= value <= MOST
    if not isinstance(one, MeasureObservation):
        return
    yield "batch_size", 0 < one.batch_size <= MOST
    yield "of", one.of > 0
    if one.samples is None:
        yield "samples", one.status is not Status.OK
        return
    yield "samples_ms", bool(one.samples.own_ms) and _timed(one.samples.own_ms)
    for pair in one.samples.pairs:
        yield "pairs", bool(pair.own_ms and pair.reference_ms) and _timed(pair.reference_ms)


def _timed(calls_ms: Iterable[float]) -> bool:
    """Whether these may be latencies of calls."""
    least, most = LATENCY_MS
    return all(least <= call_ms <= most for call_ms in calls_ms)


def _figures(model: BaseModel) -> Iterator[tuple[str, float]]:
    """The fields that are one number, by name, those of fields within among them."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _figures(value)
        elif isinstance(value, int | float):
            yield name, value


def records_of(folder: Path) -> tuple[Header, list[Record]]:
    """The header, and a record for each cell that the run was asked for and that anything is known of.

    Raises:
        InputError: as `read`.

    """
    header, observations = read(folder)
    return header, records(observations, header.identity, header.planned)


def _fault(path: Path, number: int, error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{path} line {number} is damaged ({field}: {first['msg']}): restore the file or start a new run"
