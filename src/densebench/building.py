"""From a recipe and a workload to an artifact on disk: apply, build, count, record a probe, save whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densebench import artifact
from densebench.deploy_notes import FILE_NAME as NOTES
from densebench.deploy_notes import deploy_notes
from densebench.engines.base import Built, Engine, Target
from densebench.errors import CellFailed
from densebench.measure.environment import environment
from densebench.measure.fidelity import probe_images
from densebench.measure.observe import observe, zero_fraction
from densebench.steps import apply_techniques

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.jobs import Build
    from densebench.recipe import Recipe
    from densebench.workloads.base import Workload

PROBE_SEED = 20240
PROBE_ROWS = 2  # outputs kept in the manifest


def build_artifact(job: Build, recipe: Recipe, workload: Workload, say: Callable[[str], None]) -> float:
    """Save the recipe's artifact in the job's folder; return the seconds that making it took.

    The time covers techniques and engine, not opening the workload or the counting and hashing after.
    """
    import torch

    model, techniques_s = apply_techniques(job, recipe, workload, say)
    batch_size = min(job.batch_sizes)  # one that the engine is built for
    probe = probe_images(workload.input_shape, PROBE_SEED, batch_size).to(job.device)
    with torch.inference_mode():
        outputs = model(probe)
    if not torch.isfinite(outputs).all():
        raise CellFailed("the changed model's outputs aren't finite: its values overflow this precision")
    seen = observe(model.core, model, probe[:1])
    say(recipe.engine.what.name)
    with artifact.new_folder(job.folder) as folder:
        started = time.perf_counter()
        target = Target(job.device, job.batch_sizes, job.threads)
        built = recipe.engine.what.build(model, workload, folder, target, **recipe.engine.options)
        build_s = techniques_s + time.perf_counter() - started
        if built.rounds:
            outputs = _answers(recipe.engine.what, folder, built.details, job.device, probe)
        say("save")
        facts = artifact.Facts(
            parameters=sum(p.numel() for p in model.parameters()),
            macs_g=seen.macs.total() / 1e9,
            zero_fraction=zero_fraction(model.core),
            build_s=build_s,
            cold_start_s=built.cold_start_s,
        )
        manifest = _manifest(job, recipe, workload, built, facts, outputs, folder)
        artifact.write_manifest(folder, manifest)
        notes = deploy_notes(manifest, recipe.engine.what, recipe.caveats)
        (folder / NOTES).write_text(notes, encoding="utf-8")
    return build_s


def _answers(engine: Engine, folder: Path, details: dict[str, Any], device: str, probe: Tensor) -> Tensor:
    """What the artifact itself says of the probe."""
    import torch

    session = engine.load(folder, details, device)
    try:
        with torch.inference_mode():
            return session(probe)
    finally:
        session.close()


def _manifest(
    job: Build,
    recipe: Recipe,
    workload: Workload,
    built: Built,
    facts: artifact.Facts,
    outputs: Tensor,
    folder: Path,
) -> artifact.Manifest:
    preprocessing = workload.weights.preprocessing
    return artifact.Manifest(
        recipe=recipe.name,
        steps=recipe.line,
        engine=recipe.engine.what.name,
        details=built.details,
        model=workload.model_name,
        input=artifact.Input(
            shape=(None, *workload.input_shape),
            resize=preprocessing.resize,
            crop=preprocessing.crop,
            interpolation=preprocessing.interpolation,
            mean=preprocessing.mean,
            std=preprocessing.std,
        ),
        classes=workload.weights.classes,
        device=job.device,
        host_settings={"threads": job.threads, **recipe.environment()},
        probe=artifact.Probe(
            seed=PROBE_SEED,
            batch_size=min(job.batch_sizes),
            outputs=tuple(tuple(row) for row in outputs[:PROBE_ROWS].double().tolist()),
            tolerance=recipe.tolerance,
        ),
        files=artifact.hash_files(folder, built.caches),
        contains_code=recipe.engine.what.contains_code,
        facts=facts,
        source_weights_sha256=workload.weights.sha256,
        environment=environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
