"""Artifacts from somebody else: whole, consistent, and made to deceive."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

import densebench
from densebench import engines
from densebench.artifacts.folder import hash_files
from densebench.artifacts.load import read_manifest
from densebench.artifacts.manifest import MANIFEST
from densebench.cli import main
from densebench.errors import RefusedArtifact
from tests.artifacts.test_manifest import CODE, content_of, make, rewrite
from tests.reliability.test_fuzz import Trap

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")
PLAIN = sorted({engine.name for engine in engines.catalogue().values() if not engine.contains_code})
PAYLOADS = (
    "weights.safetensors",
    "model.onnx",
    "model.xml",
    "model.bin",
    "graph.xml",
    "weights.pth",
    "model.pt",
)


@pytest.mark.parametrize("engine", PLAIN)
def test_a_payload_of_code_is_refused_in_one_line_and_not_run(
    tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickles under every name that a payload has, with hashes that fit: an error, and nothing is unpickled."""
    folder = make(tmp_path / "a", engine)
    for name in PAYLOADS:
        (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    files = {name: file.model_dump() for name, file in hash_files(folder, ()).items() if name != MANIFEST}
    rewrite(folder, content_of(folder) | {"files": files})
    assert read_manifest(folder)
    with pytest.raises(RefusedArtifact, match="can't be loaded here"):
        densebench.load(folder)
    monkeypatch.setattr(sys, "argv", ["densebench", "predict", str(folder), "image.png"])
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capsys.readouterr().err
    assert (end.value.code, len(said.splitlines())) == (2, 1), said
    assert not (tmp_path / "sprung").exists()


def test_code_can_not_be_passed_off_as_weights(tmp_path: Path) -> None:
    """A manifest of ours that is copied to another engine's name, or denies its code, is foreign."""
    ours = make(tmp_path / "ours", CODE)
    for change in ({"engine": PLAIN[0]}, {"contains_code": False}, {"device": "cuda"}):
        folder = make(tmp_path / "theirs", CODE)
        rewrite(folder, content_of(ours) | change)
        with pytest.raises(RefusedArtifact, match="did not sign"):
            read_manifest(folder)
