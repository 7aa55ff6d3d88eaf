"""The manifest of a saved model: its fields are those that were promised, whatever wrote it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from densebench import engines
from densebench.artifacts.folder import hash_files, new_folder, write_manifest
from densebench.artifacts.load import read_manifest
from densebench.artifacts.manifest import MANIFEST, Manifest
from tests.factory import input_of

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")

PLAIN = next(e.name for e in engines.catalogue().values() if not e.contains_code)
CODE = next(e.name for e in engines.catalogue().values() if e.contains_code)


def make(folder: Path, engine: str = PLAIN, *, caches: tuple[str, ...] = (), **changes: Any) -> Path:
    """An artifact with three files, as `building` writes one."""
    with new_folder(folder) as part:
        (part / "weights.bin").write_bytes(b"w" * 1000)
        (part / "sub").mkdir()
        (part / "sub" / "more.bin").write_bytes(b"more")
        (part / "cache.tar").write_bytes(b"c" * 50)
        facts: dict[str, Any] = {
            "recipe": "some recipe",
            "steps": engine,
            "engine": engine,
            "details": {"architecture": {"model": "tiny", "classes": 2}},
            "model": "tiny",
            "input": input_of(16, 16),
            "classes": ("cat", "dog"),
            "device": "cpu",
            "host_settings": {"threads": 2},
            "probe": {"seed": 1, "batch_size": 1, "outputs": ((0.1, -1e-17),), "tolerance": 1e-4},
            "files": hash_files(part, caches),
            "contains_code": engine == CODE,
            "facts": {
                "parameters": 3,
                "macs_g": 0.1,
                "zero_fraction": 0.0,
                "build_s": 1.5,
                "cold_start_s": None,
            },
            "source_weights_sha256": "0" * 64,
            "environment": {"cpu": "some"},
            "created": "2026-01-02T03:04:05+00:00",
        }
        write_manifest(part, Manifest.model_validate(facts | changes))
    return folder


def content_of(folder: Path) -> dict[str, Any]:
    """The manifest as JSON."""
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def rewrite(folder: Path, content: object) -> None:
    """Put another manifest in its place, with a hash that fits, as whoever wants to deceive would."""
    if isinstance(content, dict):
        with contextlib.suppress(ValidationError):
            content = content | {"content_sha256": Manifest.model_validate(content).content_hash()}
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("engine", [PLAIN, CODE])
def test_what_is_written_is_read(tmp_path: Path, engine: str) -> None:
    """A new artifact is accepted, with every fact it was written with."""
    folder = make(tmp_path / "a", engine)
    manifest = read_manifest(folder)
    assert manifest.engine == engine
    assert set(manifest.files) == {"weights.bin", "sub/more.bin", "cache.tar"}
    assert manifest.probe.outputs == ((0.1, -1e-17),)
    assert bool(manifest.signature) == (engine == CODE)
    assert manifest.model_dump(exclude={"signature"}) == Manifest.model_validate(
        content_of(folder)
    ).model_dump(exclude={"signature"})


def test_a_manifest_from_before_a_field_was_added_is_read(tmp_path: Path) -> None:
    """Hash and signature cover what the file says; a field that it doesn't know of is left at its default."""
    folder = make(tmp_path / "a")
    content = content_of(folder)
    del content["facts"]["activations"]
    covered = {name: content[name] for name in content if name not in ("content_sha256", "signature")}
    assert json.loads(Manifest.model_validate(content).signed_content()) == covered
    rewrite(folder, content)
    assert read_manifest(folder).facts.activations is None


def test_the_manifest_has_the_fields_of_the_contract(tmp_path: Path) -> None:
    """Readers outside this code find the names that were promised."""
    promised = (
        "format_version recipe engine model input classes device host_settings probe files contains_code "
        "source_weights_sha256 environment created content_sha256 signature"
    )
    content = content_of(make(tmp_path / "a"))
    assert set(promised.split()) <= set(content)
    assert {"sha256", "bytes"} <= set(content["files"]["weights.bin"])
    assert content["input"]["shape"] == [None, 3, 16, 16]
    assert (content["input"]["dtype"], content["input"]["layout"]) == ("float32", "NCHW")


def test_the_size_leaves_out_caches(tmp_path: Path) -> None:
    """What a deployer ships is every file but those that only make loading faster."""
    manifest = read_manifest(make(tmp_path / "a", caches=("cache.tar",)))
    assert manifest.size_bytes == 1004
    assert read_manifest(make(tmp_path / "b")).size_bytes == 1054
