"""Fetches a file over HTTP: streamed, checked against its hash, and whole or not at all.

A deadline holds for everything, the name look-up included, which has no time limit of its own: the transfer
runs in a thread of its own that is left behind when the time is up, and that then cleans up after itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

from densebench.errors import InputError

_SILENCE_S = 30.0  # a server that sends nothing for this long is gone
_CHUNK = 1 << 18  # bytes


class DownloadFailed(Exception):  # noqa: N818 - what happened, as in errors.py
    """The file didn't come; the message says why in a few words."""


class NotDownloaded(InputError):  # noqa: N818 - as above
    """A request needs a file that didn't come.

    Args:
        why: what is missing, and why.
        advice: what to do about it.

    """

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(f"{why}: {advice}")
        self.why = why


def fetch(url: str, path: Path, hash_name: str, hash_prefix: str, deadline_s: float | None = None) -> None:
    """Download `url` to `path`, replacing what is there only by a file with the right hash.

    Args:
        url: http, https or file.
        path: its folder is made where it is missing.
        hash_name: of hashlib, such as sha256.
        hash_prefix: the first hex digits that the file's hash must have.
        deadline_s: seconds for everything; None waits for as long as bytes keep coming.

    Raises:
        DownloadFailed: no network, no such file, no room, the wrong content, or the time is up.

    """
    given_up = threading.Event()
    outcome: list[Exception] = []

    def transfer() -> None:
        try:
            _transfer(url, path, hash_name, hash_prefix, given_up)
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            outcome.append(error)

    thread = threading.Thread(target=transfer, name="densebench-download", daemon=True)
    thread.start()
    try:
        thread.join(deadline_s)
    except BaseException:  # an interrupt: let go of the half file
        given_up.set()
        raise
    if thread.is_alive():
        given_up.set()
        raise DownloadFailed(f"it didn't arrive within {deadline_s:g} s")
    if outcome:
        raise DownloadFailed(_reason(outcome[0])) from outcome[0]


def hash_matches(path: Path, hash_name: str, hash_prefix: str) -> bool:
    """Whether the file is there and has the expected hash."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, hash_name).hexdigest().startswith(hash_prefix)
    except OSError:
        return False


def _transfer(url: str, path: Path, hash_name: str, hash_prefix: str, given_up: threading.Event) -> None:
    digest = hashlib.new(hash_name, usedforsecurity=False)
    request = urllib.request.Request(url, headers={"User-Agent": "densebench"})  # noqa: S310 - ours, hashed
    with urllib.request.urlopen(request, timeout=_SILENCE_S) as response:  # noqa: S310
        expected = response.headers.get("Content-Length")
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # as long as this process lives
                while not given_up.is_set() and (chunk := response.read1(_CHUNK)):
                    digest.update(chunk)
                    file.write(chunk)
                received = file.tell()
            Path(temporary).chmod(0o644)  # mkstemp makes it private; other users may share the cache
            why = None
            if given_up.is_set():
                why = "given up"
            elif expected is not None and received != int(expected):
                why = f"it broke off after {received} of {expected} bytes"
            elif not digest.hexdigest().startswith(hash_prefix):
                why = f"what came has another {hash_name} than {hash_prefix}"
            if why:
                raise DownloadFailed(why)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _clear_away(path: Path) -> None:
    """Delete what killed processes had of this file: half files whose lock nobody holds any more."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    text = str(inner if inner is not None else error) or type(error).__name__
    return text.splitlines()[0]
