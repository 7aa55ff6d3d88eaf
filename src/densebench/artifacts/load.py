"""The one way to open a saved model: check its files, load it with its engine, ask its probe, close it.

Nothing in an artifact is used before its hashes, its format, and, where it carries code, its signature have been
checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError

from densebench import engines
from densebench.artifacts import signing
from densebench.artifacts.folder import sha256_of
from densebench.artifacts.manifest import FORMAT_VERSION, MANIFEST, File, Manifest
from densebench.errors import DensebenchError, RefusedArtifact
from densebench.model.fidelity import probe_images, relative_difference
from densebench.model.tf32 import turn_tf32_off
from densebench.text import one_line

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Engine, Session


class OtherOutputs(RefusedArtifact):
    """An artifact that is whole, and gives other outputs than when it was built."""


@dataclass(frozen=True)
class Artifact:
    """A saved model, loaded: call it with images, and close it, or use it in a `with`."""

    folder: Path
    device: str
    manifest: Manifest
    session: Session

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return engines.catalogue()[self.manifest.engine]

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w), float32, on any device -> logits (n, classes), float32, on the artifact's."""
        import torch

        with torch.inference_mode():
            return self.session(images.to(self.device))

    def check_probe(self) -> Tensor:
        """Give it the images that it was checked with when it was built; return them.

        Raises:
            OtherOutputs: it answers otherwise than its manifest says.

        """
        import torch

        probe = self.manifest.probe
        _, channels, height, width = self.manifest.input.shape
        images = probe_images((channels, height, width), probe.seed, probe.batch_size).to(self.device)
        recorded = torch.tensor(probe.outputs)
        difference = relative_difference(self(images)[: len(recorded)], recorded)
        if not difference <= probe.tolerance:
            raise OtherOutputs(
                "reloaded, it gives other outputs than when it was built: relative difference "
                f"{difference:.2g}, allowed {probe.tolerance:.2g}"
            )
        return images

    def close(self) -> None:
        """Give back what outlives the object."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_artifact(folder: Path, device: str | None = None, *, trust: bool = False) -> Artifact:
    """Check an artifact's files and load it.

    Args:
        folder: the artifact's folder.
        device: `cpu` or `cuda`; where it was built for if not given.
        trust: accept code that this installation did not sign.

    Raises:
        RefusedArtifact: as `read_manifest`. Engines and their libraries raise whatever they do.

    """
    manifest = read_manifest(folder, trusted=trust)
    where = device or manifest.device
    if where != "cpu":
        turn_tf32_off()  # as where it was built: compiler caches are only good for the same setting
    session = engines.catalogue()[manifest.engine].load(folder, manifest.details, where)
    return Artifact(folder, where, manifest, session)


def open_checked(folder: Path, device: str | None = None, *, trust: bool = False) -> Artifact:
    """Open an artifact for use and ask its probe; whatever an engine makes of it is told in one line.

    Raises:
        RefusedArtifact: damaged, foreign code, from a newer densebench, not to be loaded here, or with other outputs
            than when it was built.

    """
    try:
        artifact = open_artifact(folder, device, trust=trust)
        try:
            artifact.check_probe()
        except BaseException:
            artifact.close()
            raise
    except OtherOutputs as error:
        raise RefusedArtifact(f"{folder}: {error}: build the recipe again") from None
    except DensebenchError:
        raise
    except Exception as error:  # whole, but nothing that the engine or its library can read
        words = one_line(f"{type(error).__name__}: {error}")
        raise RefusedArtifact(f"{folder} can't be loaded here ({words}): build the recipe again") from error
    return artifact


def read_manifest(folder: Path, *, trusted: bool = False) -> Manifest:
    """The manifest of an artifact that may be loaded: hashes, format and, of code, the signature are checked.

    Args:
        folder: the artifact's folder.
        trusted: accept code that this installation did not sign.

    Raises:
        RefusedArtifact: no artifact, damaged, from a newer densebench, or foreign code.

    """
    manifest = _parsed(folder)
    if manifest.content_hash() != manifest.content_sha256:
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
        and not signing.is_ours(manifest.signed_content(), manifest.signature)
    ):
        raise RefusedArtifact(f"{folder} carries code that this installation did not sign: see --trust")
    return manifest


def _parsed(folder: Path) -> Manifest:
    """The manifest as the file says it."""
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
        return Manifest.model_validate(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RefusedArtifact(
            f"{folder}: {MANIFEST} is damaged at '{where}': build the recipe again"
        ) from None


def _check_file(folder: Path, name: str, file: File) -> None:
    relative = PurePosixPath(name)
    path = folder / relative
    try:
        if relative.is_absolute() or ".." in relative.parts or path.resolve() != folder.resolve() / relative:
            raise RefusedArtifact(f"{folder}: {MANIFEST} names '{name}', which is outside the artifact")
        if file.cache and not path.exists():
            return
        whole = path.is_file() and path.stat().st_size == file.bytes and sha256_of(path) == file.sha256
    except (OSError, ValueError):  # a name that no file can have, a file that can't be read
        whole = False
    if not whole:
        raise RefusedArtifact(f"{folder}: '{name}' is missing or damaged: build the recipe again")
