"""From a recipe and a workload to an artifact on disk: apply, build, count, record a probe, save whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.artifacts.folder import hash_files, new_folder, write_manifest
from densebench.artifacts.manifest import Facts, Input, Manifest, Probe
from densebench.artifacts.usage_readme import FILE_NAME as NOTES
from densebench.artifacts.usage_readme import deploy_notes
from densebench.engines.base import Built, Details, Engine, Target
from densebench.errors import CellFailed, Unavailable
from densebench.machine.environment import environment
from densebench.model.fidelity import probe_images
from densebench.model.inspection import observe, zero_fraction
from densebench.model.pruned_shapes import channels_removed, layer_count
from densebench.worker import apply_techniques

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.model.adapter import Served
    from densebench.processes.messages import Build
    from densebench.recipes.recipe import Recipe
    from densebench.workloads.base import OnnxFile, Workload

PROBE_SEED = 20240
PROBE_ROWS = 2  # outputs kept in the manifest


def build_artifact(job: Build, recipe: Recipe, workload: Workload, say: Callable[[str], None]) -> float:
    """Save the recipe's artifact in the job's folder; return the seconds that making it took.

    The time covers techniques and engine, not opening the workload or the counting and hashing after.
    """
    import torch

    batch_size = min(job.batch_sizes)  # one that the engine is built for
    probe = probe_images(workload.input_shape, PROBE_SEED, batch_size).to(job.device)
    if workload.onnx_file is None:
        ready = _changed(job, recipe, workload, probe, say)
    else:
        ready = _as_it_is(workload.onnx_file, recipe, probe)
    outputs = ready.outputs
    if not torch.isfinite(outputs).all():
        raise CellFailed("the model's outputs aren't finite: its values overflow this precision")
    say(recipe.engine.what.name)
    with new_folder(job.folder) as folder:
        started = time.perf_counter()
        target = Target(
            job.device, job.batch_sizes, job.threads, apply_techniques.key(job, recipe.techniques)
        )
        built = recipe.engine.what.build(ready.model, workload, folder, target, **recipe.engine.options)
        claims = {"precision": recipe.precision(job.device), **ready.constructed}
        built = replace(built, details={**built.details, "claims": claims})
        build_s = ready.seconds + built.spared_s + time.perf_counter() - started
        if built.rounds:
            outputs = _answers(recipe.engine.what, folder, built.details, job.device, probe)
        say("save")
        facts = Facts(
            parameters=ready.parameters,
            macs_g=ready.macs / 1e9,
            activations=ready.activations,
            zero_fraction=ready.zero_fraction,
            build_s=build_s,
            cold_start_s=built.cold_start_s,
        )
        manifest = _manifest(job, recipe, workload, built, facts, outputs, folder)
        write_manifest(folder, manifest)
        notes = deploy_notes(manifest, recipe.engine.what, recipe.caveats)
        (folder / NOTES).write_text(notes, encoding="utf-8")
    return build_s


@dataclass(frozen=True)
class _Ready:
    """What an engine builds from, what it answers to the probe, and what was counted on it."""

    model: Served | OnnxFile
    outputs: Tensor
    parameters: int
    macs: int  # of one image
    activations: int
    zero_fraction: float
    constructed: Mapping[str, int] = field(
        default_factory=dict
    )  # what a PyTorch model was before any pruning
    seconds: float = 0.0  # that it took to make


def _changed(
    job: Build, recipe: Recipe, workload: Workload, probe: Tensor, say: Callable[[str], None]
) -> _Ready:
    """The PyTorch model with the recipe's techniques applied."""
    import torch

    model, seconds = apply_techniques.apply_techniques(job, recipe, workload, say)
    with torch.inference_mode():
        outputs = model(probe)
    seen = observe(model.core, model, probe[:1])
    return _Ready(
        model=model,
        outputs=outputs,
        parameters=sum(p.numel() for p in model.parameters()),
        macs=seen.macs.total(),
        activations=seen.activations,
        zero_fraction=zero_fraction(model.core),
        constructed={"layers": layer_count(model.core), "channels": channels_removed(model.core)[1]},
        seconds=seconds,
    )


def _as_it_is(file: OnnxFile, recipe: Recipe, probe: Tensor) -> _Ready:
    """The user's own graph, which no technique can change."""
    if reason := recipe.unfit(file.path.name):
        raise Unavailable(reason)
    outputs = file.run(probe.cpu())
    return _Ready(file, outputs, file.parameters, file.macs, file.activations, file.zero_fraction)


def _answers(engine: Engine, folder: Path, details: Details, device: str, probe: Tensor) -> Tensor:
    """What the artifact itself says of the probe."""
    import torch

    with closing(engine.load(folder, details, device)) as session, torch.inference_mode():
        return session(probe)


def _manifest(
    job: Build,
    recipe: Recipe,
    workload: Workload,
    built: Built,
    facts: Facts,
    outputs: Tensor,
    folder: Path,
) -> Manifest:
    preprocessing = workload.weights.preprocessing
    return Manifest(
        recipe=recipe.name,
        steps=recipe.line,
        engine=recipe.engine.what.name,
        details=built.details,
        model=workload.model_name,
        input=Input(
            shape=(workload.onnx_file.batch_size if workload.onnx_file else None, *workload.input_shape),
            largest_batch=built.largest_batch,
            resize=preprocessing.resize,
            crop=preprocessing.crop,
            interpolation=preprocessing.interpolation,
            mean=preprocessing.mean,
            std=preprocessing.std,
        ),
        classes=workload.weights.classes,
        device=job.device,
        batch_sizes=job.batch_sizes,
        host_settings={"threads": job.threads, **recipe.environment()},
        probe=Probe(
            seed=PROBE_SEED,
            batch_size=min(job.batch_sizes),
            outputs=tuple(tuple(row) for row in outputs[:PROBE_ROWS].double().tolist()),
            tolerance=recipe.tolerance,
        ),
        files=hash_files(folder, built.caches),
        contains_code=recipe.engine.what.contains_code,
        facts=facts,
        source_weights_sha256=workload.weights.sha256,
        environment=environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
