"""What every technique and every engine promises, as checks for those of other packages.

    from densebench import testing
    from my_package import TECHNIQUE

    def test_my_technique(tmp_path):
        testing.check_technique(TECHNIQUE, tmp_path)

Each check works on DenseNet-121 with the embedded weights at 32 pixels, if no other workload is given. It raises an
`AssertionError` that says which promise is broken.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from densebench import engines
from densebench.engines.base import Engine, Target
from densebench.techniques.base import DEVICES, Technique, worth_trying

if TYPE_CHECKING:
    from torch import Tensor, nn

    from densebench.engines.base import Session
    from densebench.workloads.base import Workload

BATCH = 4  # images
LONGEST_LINE = 100  # characters of what `densebench list` prints


def check_technique(
    technique: Technique, folder: Path, workload: Workload | None = None, **options: object
) -> None:
    """Apply a technique and hold it to what it declares.

    Args:
        technique: the registration.
        folder: an empty folder to write an artifact into.
        workload: whose model, images and weights it is tried on.
        **options: its options; its defaults where none are given.

    Raises:
        AssertionError: it changes the model that it is given, answers in another shape or type or further from the
            original than it declares, or is not itself after a reload.

    """
    import torch

    from densebench.model.fidelity import relative_difference, sqnr_db

    _check_line(technique)
    workload = workload or _example()
    images, model = workload.data.timing(BATCH), workload.build_model()
    with torch.inference_mode():
        expected = model(images)
    changed = technique.apply(model, workload, **technique.options.model_validate(options).model_dump())
    with torch.inference_mode():
        outputs = changed(images)
        _must(torch.equal(model(images), expected), f"{technique.name} changes the model that it is given")
    _check_logits(technique.name, outputs, expected)
    fidelity = sqnr_db(outputs, expected)
    _must(
        fidelity is None or fidelity >= technique.least_sqnr_db,
        f"{technique.name} has {fidelity or 0:.1f} dB, less than its least_sqnr_db of {technique.least_sqnr_db:g}",
    )
    engine = engines.default()
    session = _reloaded(engine, changed, workload, folder)
    with torch.inference_mode():
        difference = relative_difference(session(images), outputs)
    session.close()
    tolerance = max(technique.tolerance, engine.tolerance)
    _must(difference <= tolerance, f"{technique.name} differs by {difference:.2g} after a reload")


def check_engine(engine: Engine, folder: Path, workload: Workload | None = None, **options: object) -> None:
    """Build an artifact with an engine, move it, load it, and hold it to what the engine declares.

    Args:
        engine: the registration.
        folder: an empty folder to write the artifact into.
        workload: whose model, images and weights it is tried on.
        **options: its options; its defaults where none are given.

    Raises:
        AssertionError: the artifact needs more than its own folder, answers otherwise than it declares, says nothing
            of its effect, or can't be closed twice.

    """
    import torch

    from densebench.model.adapter import served
    from densebench.model.fidelity import relative_difference

    _check_line(engine)
    workload = workload or _example()
    images, model = workload.data.timing(BATCH), served(workload.build_model())
    session = _reloaded(
        engine, model, workload, folder, **engine.options.model_validate(options).model_dump()
    )
    with torch.inference_mode():
        expected, outputs = model(images), session(images)
    _check_logits(engine.name, outputs, expected)
    difference = relative_difference(outputs, expected)
    precise = engine.precision(engine.options.model_validate(options).model_dump()) in (None, "float32")
    _must(
        not precise or difference <= max(engine.tolerance, 1e-6),
        f"{engine.name} differs by {difference:.2g}, more than its tolerance of {engine.tolerance:g}",
    )
    _must(bool(str(session.effect(images))), f"{engine.name} says nothing of its effect")
    session.close()
    session.close()  # a second time does no harm


def _reloaded(
    engine: Engine, model: nn.Module, workload: Workload, folder: Path, **options: object
) -> Session:
    """A session on the artifact after it was moved, made of nothing but its folder and details that were JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    built = engine.build(model, workload, folder, Target("cpu", (BATCH,), 1), **options)
    missing = [name for name in built.caches if not (folder / name).is_file()]
    _must(not missing, f"{engine.name} names a cache that isn't there: {', '.join(missing)}")
    details = json.loads(json.dumps(built.details))
    moved = folder.with_name(f"{folder.name}-moved")
    shutil.move(folder, moved)
    return engine.load(moved, details, "cpu")


def _check_line(what: Technique | Engine) -> None:
    """One line about it, legal defaults, values worth trying that can be had, and a word for each device."""
    _must(
        0 < len(what.about) <= LONGEST_LINE and "\n" not in what.about,
        f"{what.name}: about is one short line",
    )
    what.options()
    for name, option in worth_trying(what.options).items():
        for value in option.values:
            what.options.model_validate({**option.needs, name: value})
    for device in DEVICES:
        reason = what.unavailable(device)
        _must(reason is None or bool(reason), f"{what.name} is unavailable on {device} without a reason")


def _check_logits(name: str, outputs: Tensor, expected: Tensor) -> None:
    """FP32 logits of the expected shape, all of them finite."""
    import torch

    _must(outputs.shape == expected.shape, f"{name} answers in the shape {tuple(outputs.shape)}")
    _must(outputs.dtype == torch.float32, f"{name} answers in {outputs.dtype}, not in float32")
    _must(bool(torch.isfinite(outputs).all()), f"{name} answers with numbers that are not finite")


def _example() -> Workload:
    """DenseNet-121 with the embedded weights, at the smallest size."""
    from densebench.workloads import WorkloadRequest, open_workload

    return open_workload(WorkloadRequest(weights="digits", data="digits", image_size=32))


def _must(held: bool, said: str) -> None:  # noqa: FBT001 - reads as an assertion
    """`assert`, which `python -O` leaves out."""
    if not held:
        raise AssertionError(said)
