"""A deployable model on disk: a folder with a payload and the manifest that describes and vouches for it.

It is written whole or not at all, and nothing in it is used before its hashes, its format, and, where it
carries code, its signature have been checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from densebench import engines, trust
from densebench.errors import RefusedArtifact
from densebench.measure.fidelity import probe_images, relative_difference
from densebench.record import Frozen

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Session

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


class File(Frozen):
    """One file of the payload."""

    sha256: str
    bytes: int
    cache: bool = False  # only makes loading faster: a deployer may leave it out


class Input(Frozen):
    """What a caller feeds: FP32 NCHW images.

    The batch in `shape` is None where it may differ from call to call: any, or up to `largest_batch`.
    """

    shape: tuple[int | None, int, int, int]
    largest_batch: int | None = None
    dtype: str = "float32"
    layout: str = "NCHW"
    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Probe(Frozen):
    """A batch of images drawn from a seed, and the logits that the first of them gave at build."""

    seed: int
    batch_size: int
    outputs: tuple[tuple[float, ...], ...]
    tolerance: float  # relative L2 difference allowed on reload


class Facts(Frozen):
    """What was counted while building."""

    parameters: int
    macs_g: float
    activations: int | None = None  # see `record.Record`; manifests of older builds don't say
    zero_fraction: float
    build_s: float
    cold_start_s: float | None


class Manifest(Frozen):
    """What an artifact is, what it was made from, and what its files must hash to."""

    format_version: int = FORMAT_VERSION
    recipe: str
    steps: str
    engine: str
    details: dict[str, Any]
    model: str
    input: Input
    classes: tuple[str, ...]
    device: str
    batch_sizes: tuple[int, ...] = ()  # that it was built for; manifests of older builds don't say
    host_settings: dict[str, str | int]
    probe: Probe
    files: dict[str, File]
    contains_code: bool
    facts: Facts
    source_weights_sha256: str
    environment: dict[str, str]
    created: str
    content_sha256: str = ""  # of all the above
    signature: str = ""

    def signed_content(self) -> bytes:
        """The bytes that hash and signature cover: everything but these two, the files by their hashes."""
        # as the file has it: a manifest from before a field was added says nothing of it
        content = self.model_dump(mode="json", exclude={"content_sha256", "signature"}, exclude_unset=True)
        return json.dumps(content, sort_keys=True).encode()

    @property
    def size_bytes(self) -> int:
        """What a deployer ships: all files but the caches."""
        return sum(file.bytes for file in self.files.values() if not file.cache)


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
            sha256=_sha256(path),
            bytes=path.stat().st_size,
            cache=path.relative_to(folder).as_posix() in caches,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into the folder with its hash, signed if the artifact carries code."""
    manifest = Manifest.model_validate(manifest.model_dump())  # says all of its fields
    content = manifest.signed_content()
    vouched = {"content_sha256": hashlib.sha256(content).hexdigest()}
    if manifest.contains_code:
        vouched["signature"] = trust.sign(content)
    manifest = manifest.model_copy(update=vouched)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def read_manifest(folder: Path, *, trusted: bool = False) -> Manifest:
    """The manifest of an artifact that may be loaded.

    Args:
        folder: the artifact's folder.
        trusted: accept code that this installation did not sign.

    Raises:
        RefusedArtifact: no artifact, damaged, from a newer densebench, or foreign code.

    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = content["format_version"]
    except OSError as error:
        raise RefusedArtifact(f"{folder} is no artifact: {MANIFEST}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RefusedArtifact(f"{folder}: {MANIFEST} is damaged: build the recipe again") from None
    if version != FORMAT_VERSION:
        raise RefusedArtifact(
            f"{folder} has format {version}, this densebench reads {FORMAT_VERSION}: build it again"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RefusedArtifact(
            f"{folder}: {MANIFEST} is damaged at '{where}': build the recipe again"
        ) from None
    if hashlib.sha256(manifest.signed_content()).hexdigest() != manifest.content_sha256:
        raise RefusedArtifact(
            f"{folder}: {MANIFEST} was changed after it was written: build the recipe again"
        )
    for name, file in manifest.files.items():
        _check_file(folder, name, file)
    engine = engines.catalogue().get(manifest.engine)
    if engine is None:
        raise RefusedArtifact(f"{folder} is for an engine that is not installed here: '{manifest.engine}'")
    if (
        (engine.contains_code or manifest.contains_code)  # what a manifest says of itself is no evidence
        and not trusted
        and not trust.is_ours(manifest.signed_content(), manifest.signature)
    ):
        raise RefusedArtifact(f"{folder} carries code that this installation did not sign: see --trust")
    return manifest


def _check_file(folder: Path, name: str, file: File) -> None:
    relative = PurePosixPath(name)
    path = folder / relative
    try:
        if relative.is_absolute() or ".." in relative.parts or path.resolve() != folder.resolve() / relative:
            raise RefusedArtifact(f"{folder}: {MANIFEST} names '{name}', which is outside the artifact")
        if file.cache and not path.exists():
            return
        whole = path.is_file() and path.stat().st_size == file.bytes and _sha256(path) == file.sha256
    except (OSError, ValueError):  # a name that no file can have, a file that can't be read
        whole = False
    if not whole:
        raise RefusedArtifact(f"{folder}: '{name}' is missing or damaged: build the recipe again")


def check_probe(session: Session, manifest: Manifest, device: str) -> Tensor:
    """Give a loaded artifact the images that it was checked with when it was built; return them.

    Raises:
        RefusedArtifact: it answers otherwise than its manifest says.

    """
    import torch

    probe = manifest.probe
    _, channels, height, width = manifest.input.shape
    images = probe_images((channels, height, width), probe.seed, probe.batch_size).to(device)
    with torch.inference_mode():
        outputs = session(images)
    recorded = torch.tensor(probe.outputs)
    difference = relative_difference(outputs[: len(recorded)], recorded)
    if not difference <= probe.tolerance:
        raise RefusedArtifact(
            f"reloaded, it gives other outputs than when it was built: relative difference {difference:.2g}, "
            f"allowed {probe.tolerance:.2g}"
        )
    return images
