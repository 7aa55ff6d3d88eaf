"""The events of a Chrome trace, read in a stream: a few megabytes of its text are in memory at a time."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

PIECE = 4 << 20  # characters that are read at a time
LONGEST = 4 * PIECE  # what stands before the events, or one event; anything longer is no trace
NEWLINES = "\r\n\t"
ATTEMPTS = 8  # places at which a piece may be cut; the first is nearly always right

_FIRST = re.compile(r'^\s*\[|"traceEvents"\s*:\s*\[')
_KEY = re.compile(r'\s*\{\s*("(?:[^"\\]|\\.)*")\s*:')
# What PyTorch writes about each call and nobody reads here, most of the file: balanced lists of plain values.
_LIST = r"\[(?:[^\"\[\]]++|\"(?:[^\"\\]|\\.)*+\"|\[(?:[^\"\[\]]|\[[^\"\[\]]*+\])*+\])*+\]"
_UNREAD = re.compile(r'"(?:Concrete Inputs|Input type|Input Strides)": ' + _LIST)
# The shapes stay, as the text of a string: the same ones come again and again.
_DIMS = re.compile(r'("Input Dims": )(\[[\d ,\[\]]*\])')
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)


Event = Mapping[str, Any]  # as the file has it: values may be missing or of any type


class NoTrace(Exception):  # noqa: N818 - what the file is, not a fault of ours
    """The file holds no events, or not to its end: a sentence that says how far it could be read."""


def events(path: Path) -> Iterator[Event]:
    """Each event of the file, in its order.

    Raises:
        NoTrace: after the last event that is whole, if the file is damaged or breaks off.
        OSError: the file can't be read.

    """
    count = 0
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
        for batch in _batches(_Text(file)):
            if batch is None:
                raise NoTrace(
                    f"The file breaks off or is damaged after event {count}; what stands before is shown."
                    if count
                    else "This is no Chrome trace: it holds no list of events."
                )
            count += len(batch)
            yield from (event for event in batch if isinstance(event, dict))


class _Text:
    """A file's text by the piece; what a broken compressed file still gives counts."""

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")

    def read(self) -> str:
        """The next piece; empty at the end."""
        pieces, size = [], 0
        while size < PIECE:
            try:
                piece = self._file.read1(PIECE - size)  # type: ignore[union-attr] # buffered files have it
            except _BROKEN:
                piece = b""
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        return self._decoder.decode(b"".join(pieces), final=not pieces)


def _batches(file: _Text) -> Iterator[list[object] | None]:
    """Events by the piece; a None at the end says that the list wasn't whole."""
    text, more = _start(file)
    key = _KEY.match(text)
    split = re.compile(r"\}\s*,\s*(?=\{\s*" + re.escape(key[1]) + r"\s*:)") if key else None
    while True:
        if more and split and (cut := _cut(text, split)):
            batch, text = cut
            yield batch
        elif (last := _whole(text)) is not None:
            yield last
            return
        elif not more or len(text) > LONGEST:
            if key and split and (cut := _cut(f"{text.rstrip(', ' + NEWLINES)},{{{key[1]}:", split)):
                yield cut[0]  # the last event may be whole, with the end of the list missing
            yield None
            return
        piece = file.read()
        more = bool(piece)
        text += piece


def _start(file: _Text) -> tuple[str, bool]:
    """The text after the bracket that opens the list, as far as it was read, and whether more may follow."""
    text = ""
    while len(text) <= LONGEST:
        piece = file.read()
        text += piece
        if found := _FIRST.search(text):
            return text[found.end() :], bool(piece)
        if not piece:
            break
    return "", False


def _cut(text: str, split: re.Pattern[str]) -> tuple[list[object], str] | None:
    """The events before the last place where one follows another, and the text of the rest.

    Where the list up to there is valid JSON, the place lies between two events and not inside one.
    """
    places = [found.span() for found in split.finditer(text, max(0, len(text) - PIECE // 4))]
    places = places or [found.span() for found in split.finditer(text)]
    for start, end in reversed(places[-ATTEMPTS:]):
        try:
            return from_json(f"[{_lean(text[: start + 1])}]"), text[end:]
        except ValueError:
            continue
    return None


def _lean(text: str) -> str:
    """The same events with less in them. No string can look like this: quotes inside one are escaped."""
    return _DIMS.sub(r'\1"\2"', _UNREAD.sub('"":0', text))


def _whole(text: str) -> list[object] | None:
    """The events of a list that ends in this text, whatever follows it."""
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(f"[{text}")
    except ValueError:
        return None
    return found if isinstance(found, list) else None
