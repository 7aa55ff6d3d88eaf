"""A saved model as a model repository of NVIDIA's Triton Inference Server, for the formats that Triton takes.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
"""

from __future__ import annotations

import shutil
from pathlib import Path

from densebench import engines
from densebench.artifacts.folder import new_folder
from densebench.artifacts.load import read_manifest
from densebench.artifacts.manifest import Manifest
from densebench.engines.base import Triton
from densebench.errors import InputError, UsageError, remedy
from densebench.files import check_writable
from densebench.text import folder_name

CONFIG, LABELS, VERSION = "config.pbtxt", "classes.txt", "1"
LARGEST_BATCH = 32  # where the artifact takes any


def export_triton(artifact: Path, destination: Path, *, trust: bool = False) -> Path:
    """Write `<recipe>/config.pbtxt`, `<recipe>/classes.txt` and `<recipe>/1/` with the model into a repository.

    Args:
        artifact: a saved model's folder.
        destination: the model repository, made if it isn't there; other models in it are left alone.
        trust: accept code that this installation did not sign.

    Returns:
        The model's folder in the repository, whole, or as it was before if anything failed.

    Raises:
        RefusedArtifact: damaged, or foreign code.
        UsageError: an engine whose artifacts Triton doesn't take.
        InputError: a destination that can't be written.

    """
    manifest = read_manifest(artifact, trusted=trust)
    engine = engines.catalogue()[manifest.engine]
    if engine.triton is None:
        able = sorted({other.name for other in engines.catalogue().values() if other.triton})
        raise UsageError(
            f"Triton doesn't take what {engine.name} saves: export an artifact of {', '.join(able)} instead"
        )
    check_writable(destination)
    final = destination / folder_name(manifest.recipe)
    if final.exists() and not (final / CONFIG).is_file():
        raise InputError(f"{final} is in the way and no Triton model: move it, or name another folder")
    try:
        with new_folder(final) as folder:
            (folder / VERSION).mkdir()
            for name, wanted in engine.triton.files.items():
                shutil.copyfile(artifact / name, folder / VERSION / wanted)
            (folder / LABELS).write_text("".join(f"{name}\n" for name in manifest.classes), encoding="utf-8")
            (folder / CONFIG).write_text(configuration(manifest, engine.triton), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{final} can't be written ({error.strerror}): {remedy(error)}, or name another folder"
        ) from None
    return final


def configuration(manifest: Manifest, triton: Triton) -> str:
    """The text of `config.pbtxt`: names, shapes, the largest batch, and the kind of device it was built for."""
    batch, *image = manifest.input.shape
    classes = [len(manifest.classes)]
    largest = manifest.input.largest_batch or LARGEST_BATCH
    if batch is not None:  # without batching, shapes tell the batch
        image, classes, largest = [batch, *image], [batch, *classes], 0
    kind = "KIND_CPU" if manifest.device == "cpu" else "KIND_GPU"
    return f"""\
name: "{folder_name(manifest.recipe)}"
backend: "{triton.backend}"
max_batch_size: {largest}
input [ {{ name: "{triton.input}" data_type: TYPE_FP32 dims: {image} }} ]
output [ {{ name: "{triton.output}" data_type: TYPE_FP32 dims: {classes} label_filename: "{LABELS}" }} ]
instance_group [ {{ kind: {kind} count: 1 }} ]
{triton.more(manifest.details)}{_parameters(manifest, triton)}"""


def _parameters(manifest: Manifest, triton: Triton) -> str:
    """The lines that tell the backend how it was measured, and a comment on what they can't."""
    given = triton.parameters(manifest.details, manifest.threads)
    lines = [
        f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in given.items()
    ]
    variables = [f"{key}={value}" for key, value in manifest.variables.items()]
    lost = [one for one in (triton.lost(manifest.details, manifest.device),) if one]
    if variables:
        lost.append(f"it was measured in a process started with {' '.join(variables)}")
    return "".join(f"{line}\n" for line in [*lines, *(f"# not the same here: {one}" for one in lost)])
