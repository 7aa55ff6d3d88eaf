"""Who made an artifact that carries code. A hash shows that a file is whole; a signature, where it comes from.

Artifacts with code are signed with a random key that belongs to this installation and never leaves it. One
that was made elsewhere can't carry such a signature, and is refused unless the user says to trust it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shlex
import stat
from pathlib import Path

from densebench.errors import InputError

KEY_VARIABLE = "DENSEBENCH_KEY_FILE"
KEY_BYTES = 32


def key_file() -> Path:
    """Where the key is: `$DENSEBENCH_KEY_FILE`, else in the user's data folder."""
    if given := os.environ.get(KEY_VARIABLE):
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    try:
        base = Path(data) if data else Path.home() / ".local" / "share"
    except RuntimeError:
        raise InputError(f"no home folder for the signing key: set {KEY_VARIABLE} to a file") from None
    return base / "densebench" / "signing.key"


def _key() -> bytes:
    path = key_file()
    try:
        if not path.exists():
            _make_key(path)
        with path.open("rb") as file:
            state, key = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise InputError(
            f"signing key {path}: {error.strerror}; set {KEY_VARIABLE} to a writable file"
        ) from None
    if state.st_uid != os.geteuid():  # its owner can sign too
        raise InputError(
            f"signing key {path} belongs to another user: set {KEY_VARIABLE} to a file of your own, which is made if "
            "it is missing"
        )
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"signing key {path} is open to other users: chmod 600 {shlex.quote(str(path))}")
    if len(key) < KEY_BYTES:  # an empty key is everybody's
        raise InputError(f"signing key {path} is too short: remove it, and a new one is made")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.touch(mode=0o600)
    part.write_bytes(secrets.token_bytes(KEY_BYTES))
    try:
        os.link(part, path)  # whole or not at all; of two processes at once, the first one's key stays
    except FileExistsError:
        return
    finally:
        part.unlink()


def sign(content: bytes) -> str:
    """The signature of these bytes by this installation (HMAC-SHA256, hexadecimal)."""
    return hmac.new(_key(), content, hashlib.sha256).hexdigest()


def is_ours(content: bytes, signature: str) -> bool:
    """Whether this installation signed these bytes."""
    given = signature.encode(errors="surrogatepass")  # a manifest's JSON may say half a character
    return hmac.compare_digest(sign(content).encode(), given)
