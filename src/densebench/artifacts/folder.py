"""Writing a saved model's folder: whole or not at all, with the hash of every file in its manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from densebench.artifacts import signing
from densebench.artifacts.manifest import MANIFEST, File, Manifest


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to write into, which takes its final name only if nothing fails."""
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.name}.part-{os.getpid()}")
    old = final.with_name(f".{final.name}.old-{os.getpid()}")
    for left in final.parent.glob(f".{final.name}.part-*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        for path in part.rglob("*"):
            if path.is_file():
                path.chmod(0o644)  # some libraries make their files private; others may deploy this one
                _sync(path)
        if final.exists():
            final.rename(old)
        try:
            part.rename(final)
        except OSError:
            if old.exists():
                old.rename(final)
            raise
        _sync(final.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_files(folder: Path, caches: tuple[str, ...]) -> dict[str, File]:
    """Every file in the folder with its hash and size."""
    return {
        path.relative_to(folder).as_posix(): File(
            sha256=sha256_of(path),
            bytes=path.stat().st_size,
            cache=path.relative_to(folder).as_posix() in caches,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sha256_of(path: Path) -> str:
    """The file's hash, as a manifest has it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into the folder with its hash, signed if the artifact carries code."""
    manifest = Manifest.model_validate(manifest.model_dump())  # says all of its fields
    vouched = {"content_sha256": manifest.content_hash()}
    if manifest.contains_code:
        vouched["signature"] = signing.sign(manifest.signed_content())
    manifest = manifest.model_copy(update=vouched)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
