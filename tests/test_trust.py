"""The key of an installation, and signatures with it."""

from __future__ import annotations

import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from densebench import trust
from densebench.errors import InputError

pytest_plugins = ["tests.fixtures"]


def test_the_key_is_made_once_and_is_private(own_key: Path) -> None:
    """The first signature makes a random key that only its owner can read; the next one uses it."""
    first = trust.sign(b"content")
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    assert len(own_key.read_bytes()) == trust.KEY_BYTES
    made = own_key.read_bytes()
    assert trust.sign(b"content") == first
    assert own_key.read_bytes() == made
    assert list(own_key.parent.iterdir()) == [own_key]


def test_signatures_are_of_this_content_and_this_key(own_key: Path) -> None:
    """Another content, another key, and what is no signature at all are not ours."""
    signature = trust.sign(b"content")
    assert trust.is_ours(b"content", signature)
    for wrong in ("", signature[:-1], signature.upper(), "é" * 64, "\N{SNOWMAN}"):
        assert not trust.is_ours(b"content", wrong)
    assert not trust.is_ours(b"contents", signature)
    own_key.unlink()
    assert not trust.is_ours(b"content", signature)


def test_processes_at_once_agree_on_one_key(own_key: Path) -> None:
    """Several processes that all find no key end with the same one, and leave nothing beside it."""
    code = "from densebench import trust; print(trust.sign(b'content'))"
    crowd = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    signatures = {process.communicate(timeout=60)[0] for process in crowd}
    assert [process.returncode for process in crowd] == [0] * 4
    assert len(signatures) == 1
    assert list(own_key.parent.iterdir()) == [own_key]


def test_the_first_of_two_keys_stays(own_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that made its key a moment too late signs with the one that was first."""

    def another_was_faster(count: int) -> bytes:
        own_key.write_bytes(b"f" * count)
        return b"s" * count

    monkeypatch.setattr(secrets, "token_bytes", another_was_faster)
    late = trust.sign(b"content")
    assert own_key.read_bytes() == b"f" * trust.KEY_BYTES
    assert late == trust.sign(b"content")


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_key_that_anyone_could_guess_is_refused(own_key: Path, content: bytes) -> None:
    """An empty or cut-off key file signs nothing: anyone could sign with it."""
    own_key.parent.mkdir()
    own_key.write_bytes(content)
    with pytest.raises(InputError, match="too short"):
        trust.sign(b"content")


def test_a_key_that_can_not_be_made_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where the key should be, or a file where its folder should be, is said in one line."""
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "key"):
        monkeypatch.setenv(trust.KEY_VARIABLE, str(place))
        with pytest.raises(InputError, match=trust.KEY_VARIABLE):
            trust.sign(b"content")


def test_where_the_key_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins, then the user's data folder, then the home; without any it is bad input."""
    monkeypatch.setenv(trust.KEY_VARIABLE, str(tmp_path / "mine"))
    assert trust.key_file() == tmp_path / "mine"
    monkeypatch.delenv(trust.KEY_VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert trust.key_file() == tmp_path / "data/densebench/signing.key"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trust.key_file() == tmp_path / ".local/share/densebench/signing.key"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match=trust.KEY_VARIABLE):
        trust.key_file()
