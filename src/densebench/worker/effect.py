"""What a saved model is seen to do: its session, and the variables that its process was started with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from densebench import techniques
from densebench.schema import Effect

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.artifacts.load import Artifact


def effect_of(artifact: Artifact, images: Tensor) -> Effect:
    """What differs from plain FP32 execution in the session and, by its variables, in the process."""
    inside, around = artifact.session.effect(images), observed(artifact.manifest.variables)
    return _together(around if around and inside.none_because else [inside, *around])


def observed(variables: Mapping[str, str]) -> list[Effect]:
    """What is seen in this process of each variable that a technique set, after an inference."""
    observers = {
        name: observe
        for technique in techniques.catalogue().values()
        for name, observe in technique.observed.items()
    }
    found = []
    for name, value in variables.items():
        if os.environ.get(name) != value:
            found.append(Effect(none_because=f"{name}={value} is not set in this process"))
        elif name in observers:
            found.append(observers[name](value))
    return found


def _together(parts: Sequence[Effect]) -> Effect:
    """One effect of several: there is none only where each of them is none."""
    first, *others = parts
    if all(part.none_because for part in parts):
        return first.plus(*map(str, others))
    return Effect(
        seen=tuple(said for part in parts for said in ([str(part)] if part.none_because else part.seen))
    )
