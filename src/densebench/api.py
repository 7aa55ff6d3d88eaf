"""The Python interface: run a sweep, load an artifact, read records."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.results.derive import derive
from densebench.results.record import Row
from densebench.spec import FILE_ONLY, RunSpec, flag_of

if TYPE_CHECKING:
    from densebench.artifacts.load import Artifact


def run(suite: str | Path = "default", **flags: object) -> list[Row]:
    """Run a sweep and return its rows.

    Args:
        suite: `default`, `quick`, or a TOML file.
        **flags: the flags of `densebench run`, with `_` for `-`: `recipes=["amp"]`, `batch_sizes=[1, 8]`.

    Raises:
        UsageError: the request can't be carried out; nothing was written.

    """
    from densebench import loop
    from densebench.sinks.progress import Progress

    return loop.run(RunSpec.create(suite, **flags), Progress(), command_of(suite, flags)).rows


def load(artifact: str | Path, device: str | None = None, *, trust: bool = False) -> Artifact:
    """Load a saved model as a callable from images (n, c, h, w), float32, to logits (n, classes), float32.

    Args:
        artifact: a folder that holds a `manifest.json`.
        device: `cpu` or `cuda`; where it was built for if not given.
        trust: accept code that this installation did not sign.

    Raises:
        RefusedArtifact: damaged, foreign code, from a newer densebench, or with other outputs than when it was built.

    """
    from densebench.artifacts.load import open_checked

    return open_checked(Path(artifact), device, trust=trust)


def read_records(folder: str | Path) -> list[Row]:
    """The rows in a results folder, with their derived figures.

    Raises:
        InputError: no journal there, or a damaged one.

    """
    from densebench.results import journal

    header, records = journal.records_of(Path(folder))
    return derive(records, header.spec.get("recipes", ()), known=header.known)


def command_of(suite: Path | str, flags: Mapping[str, object]) -> str:
    """What does the same as `densebench.run(suite, **flags)`, to be typed into a shell."""
    given = {name: value for name, value in flags.items() if value is not None}
    if FILE_ONLY & set(given):
        told = "".join(f", {name}={_plain(value)!r}" for name, value in given.items())
        return shlex.join(["python", "-c", f"import densebench; densebench.run({_plain(suite)!r}{told})"])
    words = ["densebench", "run"]
    if suite != "default":
        words += ["--quick"] if suite == "quick" else ["--suite", str(suite)]
    for name, value in given.items():
        flag, plain = flag_of(name), _plain(value)
        if isinstance(plain, bool):
            words += [flag] if plain else []
        else:
            words += [flag, ",".join(map(str, plain)) if isinstance(plain, list) else str(plain)]
    return shlex.join(words)


def _plain(value: object) -> object:
    """As it is written in Python without an import."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else value
