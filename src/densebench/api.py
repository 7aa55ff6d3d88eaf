"""The Python interface: run a sweep, load an artifact, read records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densebench.errors import DensebenchError, RefusedArtifact
from densebench.record import Row
from densebench.rows import derive
from densebench.wording import one_line

if TYPE_CHECKING:
    from torch import Tensor


def run(suite: str | Path = "default", **flags: Any) -> list[Row]:
    """Run a sweep and return its rows.

    Args:
        suite: `default`, `quick`, or a TOML file.
        **flags: the flags of `densebench run`, with `_` for `-`: `recipes=["amp"]`, `batch_sizes=[1, 8]`.

    Raises:
        UsageError: the request can't be carried out; nothing was written.

    """
    from densebench import suite as sweep
    from densebench.sinks.console import Progress
    from densebench.spec import RunSpec, command_of

    return sweep.run(RunSpec.create(suite, **flags), Progress(), command_of(suite, flags)).rows


def load(
    artifact: str | Path, device: str | None = None, *, trust: bool = False
) -> Callable[[Tensor], Tensor]:
    """Load a saved model as a callable from images (n, c, h, w), float32, to logits (n, classes), float32.

    Args:
        artifact: a folder that holds a `manifest.json`.
        device: `cpu` or `cuda`; where it was built for if not given.
        trust: accept code that this installation did not sign.

    Raises:
        RefusedArtifact: damaged, foreign code, from a newer densebench, or with other outputs than when it was built.

    """
    import torch

    from densebench import engines
    from densebench.artifact import check_probe, read_manifest
    from densebench.measure.device import turn_tf32_off

    folder = Path(artifact)
    manifest = read_manifest(folder, trusted=trust)
    where = device or manifest.device
    if where != "cpu":
        turn_tf32_off()  # as where it was built and measured: compiler caches are only good for the same setting
    try:
        session = engines.catalogue()[manifest.engine].load(folder, manifest.details, where)
        try:
            check_probe(session, manifest, where)
        except RefusedArtifact as error:
            session.close()
            raise RefusedArtifact(f"{folder}: {error}: build the recipe again") from None
    except DensebenchError:
        raise
    except Exception as error:  # whole, but nothing that the engine or its library can read
        words = one_line(f"{type(error).__name__}: {error}")
        raise RefusedArtifact(f"{folder} can't be loaded here ({words}): build the recipe again") from error

    def logits(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return session(images.to(where))

    return logits


def read_records(folder: str | Path) -> list[Row]:
    """The rows in a results folder, with their derived figures.

    Raises:
        InputError: no journal there, or a damaged one.

    """
    from densebench.sinks import journal

    header, records = journal.read(Path(folder))
    return derive(records, header.spec.get("recipes", ()), known=header.known)
