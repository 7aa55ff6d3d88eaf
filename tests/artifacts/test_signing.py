"""The key of an installation, and signatures with it."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from densebench.artifacts import signing
from densebench.errors import InputError

pytest_plugins = ["tests.fixtures"]


def test_the_key_is_made_once_and_is_private(own_key: Path) -> None:
    """The first signature makes a random key that only its owner can read; the next one uses it."""
    first = signing.sign(b"content")
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    assert len(own_key.read_bytes()) == signing.KEY_BYTES
    made = own_key.read_bytes()
    assert signing.sign(b"content") == first
    assert own_key.read_bytes() == made
    assert list(own_key.parent.iterdir()) == [own_key]


def test_signatures_are_of_this_content_and_this_key(own_key: Path) -> None:
    """Another content, another key, and what is no signature at all are not ours."""
    signature = signing.sign(b"content")
    assert signing.is_ours(b"content", signature)
    for wrong in ("", signature[:-1], signature.upper(), "é" * 64, "\N{SNOWMAN}"):
        assert not signing.is_ours(b"content", wrong)
    assert not signing.is_ours(b"contents", signature)
    own_key.unlink()
    assert not signing.is_ours(b"content", signature)


def test_processes_at_once_agree_on_one_key(own_key: Path) -> None:
    """Several processes that all find no key end with the same one, and leave nothing beside it."""
    code = "from densebench.artifacts import signing; print(signing.sign(b'content'))"
    crowd = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    signatures = {process.communicate(timeout=60)[0] for process in crowd}
    assert [process.returncode for process in crowd] == [0] * 4
    assert len(signatures) == 1
    assert list(own_key.parent.iterdir()) == [own_key]


def test_the_first_of_two_keys_stays(own_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that made its key a moment too late signs with the one that was first."""

    def another_was_faster(count: int) -> bytes:
        own_key.write_bytes(b"f" * count)
        own_key.chmod(0o600)
        return b"s" * count

    monkeypatch.setattr(secrets, "token_bytes", another_was_faster)
    late = signing.sign(b"content")
    assert own_key.read_bytes() == b"f" * signing.KEY_BYTES
    assert late == signing.sign(b"content")


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_key_that_anyone_could_guess_is_refused(own_key: Path, content: bytes) -> None:
    """An empty or cut-off key file signs nothing: anyone could sign with it."""
    own_key.parent.mkdir()
    own_key.write_bytes(content)
    own_key.chmod(0o600)
    with pytest.raises(InputError, match="too short"):
        signing.sign(b"content")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_that_others_may_use_is_refused(own_key: Path, mode: int) -> None:
    """Whoever can read or replace it can sign code; the message is the command that mends it."""
    signature = signing.sign(b"content")
    own_key.chmod(mode)
    for use in (lambda: signing.sign(b"content"), lambda: signing.is_ours(b"content", signature)):
        with pytest.raises(InputError, match=rf"chmod 600 '{own_key}'"):
            use()
    own_key.chmod(0o600)
    assert signing.is_ours(b"content", signature)


def test_a_key_of_another_user_is_refused(own_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner can sign whatever its mode says."""
    signing.sign(b"content")
    monkeypatch.setattr(os, "geteuid", lambda: own_key.stat().st_uid + 1)
    with pytest.raises(InputError, match=signing.KEY_VARIABLE):
        signing.sign(b"content")


def test_a_key_that_can_not_be_made_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where the key should be, or a file where its folder should be, is said in one line."""
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "key"):
        monkeypatch.setenv(signing.KEY_VARIABLE, str(place))
        with pytest.raises(InputError, match=signing.KEY_VARIABLE):
            signing.sign(b"content")


def test_where_the_key_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins, then the user's data folder, then the home; without any it is bad input."""
    monkeypatch.setenv(signing.KEY_VARIABLE, str(tmp_path / "mine"))
    assert signing.key_file() == tmp_path / "mine"
    monkeypatch.delenv(signing.KEY_VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert signing.key_file() == tmp_path / "data/densebench/signing.key"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert signing.key_file() == tmp_path / ".local/share/densebench/signing.key"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match=signing.KEY_VARIABLE):
        signing.key_file()


def test_half_a_character_is_no_signature(own_key: Path) -> None:
    """JSON can say one, and a manifest that does is refused like one with any other foreign signature."""
    assert not signing.is_ours(b"content", "\ud800")
    assert signing.is_ours(b"content", signing.sign(b"content"))
