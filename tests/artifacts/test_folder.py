"""A saved model's folder is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from densebench.artifacts import folder as folders
from densebench.artifacts.folder import new_folder
from densebench.artifacts.load import read_manifest
from densebench.artifacts.manifest import MANIFEST
from tests.artifacts.test_manifest import content_of, make

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")


def test_a_failure_in_the_middle_leaves_the_old_artifact(tmp_path: Path) -> None:
    """A build that fails leaves what was there before, and no folder beside it."""
    folder = make(tmp_path / "models" / "a")
    before = content_of(folder)

    def build() -> None:
        with new_folder(folder) as part:
            (part / "weights.bin").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        build()
    assert content_of(folder) == before
    assert read_manifest(folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failure_at_the_last_step_brings_the_old_artifact_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the new folder can't take its name, the old one has it still."""
    folder = make(tmp_path / "models" / "a")
    rename = Path.rename

    def fail_for_parts(path: Path, target: Path) -> Path:
        if ".part-" in path.name:
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_parts)
    with pytest.raises(OSError, match="no"):
        make(folder, recipe="new")
    assert read_manifest(folder).recipe == "some recipe"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_new_artifact_replaces_the_old_one_whole(tmp_path: Path) -> None:
    """Files of the earlier artifact don't stay among those of the new one."""
    folder = make(tmp_path / "models" / "a")
    (folder / "stray").touch()
    make(folder, recipe="new")
    assert read_manifest(folder).recipe == "new"
    assert not (folder / "stray").exists()
    assert list(folder.parent.iterdir()) == [folder]


def test_before_it_is_whole_it_has_no_name(tmp_path: Path) -> None:
    """While a folder is being filled nobody finds it under its final name."""
    final = tmp_path / "models" / "a"
    with new_folder(final) as part:
        assert not final.exists()
        assert part.parent == final.parent
    assert final.is_dir()


def test_files_are_synced_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the rename can't leave a named folder with empty files."""
    synced: list[str] = []
    sync = folders._sync

    def note(path: Path) -> None:
        synced.append(path.name)
        sync(path)

    monkeypatch.setattr(folders, "_sync", note)
    make(tmp_path / "models" / "a")
    assert set(synced[:-1]) == {"weights.bin", "more.bin", "cache.tar", MANIFEST}
    assert synced[-1] == "models"
