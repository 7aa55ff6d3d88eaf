"""The child's whole story: take one job, do it, say what came of it.

A build sees the workload and the technique's code. The other jobs see an artifact on disk and nothing of what
made it, so what they measure is what would be shipped.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from densebench import artifact, engines, jobs, recipe
from densebench.companion import accompany
from densebench.errors import InputError, UsageError, remedy
from densebench.machine import MB
from densebench.measure import cores, energy
from densebench.measure import device as devices
from densebench.measure.host import host_effect
from densebench.record import Frozen
from densebench.timing import loaded, manifest_of, measure
from densebench.workloads.base import Workload, WorkloadRequest

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Session

Say = Callable[[str], None]

IDLE_S = 2.0  # long against RAPL's and NVML's steps of 1 to 100 ms


def preload() -> None:
    """Import what every child needs, running nothing."""
    import safetensors.torch  # noqa: F401
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    engines.catalogue()


def run(packet: bytes, results: int) -> None:
    """Do the job in the packet and write messages, one JSON line each, to the descriptor `results`."""

    def send(message: jobs.Message) -> None:
        line = message.model_dump_json(exclude_defaults=True).encode() + b"\n"
        while line:
            line = line[os.write(results, line) :]

    try:
        job = jobs.Envelope.model_validate_json(packet).job
        for answer in _prepare_and_do(job, lambda stage: send(jobs.Message(stage=stage))):
            send(jobs.Message(result=answer.model_dump(mode="json")))
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told
        traceback.print_exc()
        sys.stderr.flush()
        send(jobs.Message(problem=jobs.problem_of(error)))


def _prepare_and_do(job: jobs.Job, say: Say) -> Iterator[Frozen]:
    import torch

    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    if job.device != "cpu":
        devices.turn_tf32_off()  # in builds and checks too: what they compute is what is timed
    match job:
        case jobs.Describe():
            yield describe(job, say)
        case jobs.Survey():
            yield survey(job, say)
        case jobs.Build():
            yield build(job, say)
        case jobs.Evaluate():
            yield evaluate(job, say)
        case jobs.Measure():
            yield from measure(job, say)
        case jobs.Accompany():
            yield from accompany(job, say)


def _open(workload: jobs.WorkloadJob) -> Workload:
    from densebench.workloads import open_workload

    return open_workload(WorkloadRequest(**workload.model_dump()))


def describe(job: jobs.Describe, say: Say) -> jobs.Described:
    """Resolve `auto`, check model, weights and data, and write the timing images."""
    import torch
    from safetensors.torch import save_file

    if job.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device here; use --device cpu, or see densebench doctor")
    say("open the workload")
    try:
        workload = _open(job.workload)
        if workload.onnx_file is not None:
            workload.onnx_file.check_batches(job.batch_sizes)
        images = workload.data.timing(max(job.batch_sizes))
    except OSError as error:
        if not error.filename:
            raise
        what = f"{error.filename} can't be used ({error.strerror})"
        raise InputError(f"{what}: {remedy(error)}, or name another model, weights or data") from None
    save_file({"images": images.contiguous()}, job.timing_file)
    model = workload.reference()
    nothing = torch.zeros(model.batch_size, *workload.input_shape)
    with torch.inference_mode():
        clock = devices.Cpu()
        batch1_ms = min(clock.time_ms(lambda: model.run(nothing)) for _ in range(2)) / model.batch_size
    resolved: dict[str, object] = {"image_size": workload.image_size}
    resolved |= {"weights": workload.weights.label} if job.workload.weights == "auto" else {}
    resolved |= {"data": workload.data.label} if job.workload.data == "auto" else {}
    return jobs.Described(
        workload=job.workload.model_copy(update=resolved),
        device="cuda" if job.device != "cpu" and torch.cuda.is_available() else "cpu",
        weights=workload.weights.label,
        data=workload.data.label,
        weights_sha256=workload.weights.sha256,
        parameters=model.parameters,
        validation_images=len(workload.data.validation or ()),
        batch1_ms=batch1_ms,
        notes=workload.notes,
    )


def survey(job: jobs.Survey, say: Say) -> jobs.Surveyed:
    """Find the machine's ceilings, kept from an earlier run or measured now, and the power that it idles at."""
    from densebench.measure.ceiling_probe import known_ceilings

    devices.open_device(job.device).synchronize()  # an open GPU idles at a higher power
    meter = energy.open_meter(job.device)
    idle_watts = None
    if not isinstance(meter, str):
        say("idle power")  # before the ceilings: a card that worked hard idles hot for a while, at more power
        idle_watts = energy.idle_watts(meter, IDLE_S)
    found = known_ceilings(job.environment_id, job.device, job.threads, say) if job.ceilings else None
    return jobs.Surveyed(
        ceilings=found.model_dump(mode="json") if found else None,
        idle_watts=idle_watts,
        energy_method=meter if isinstance(meter, str) else meter.method,
        looks_us=cores.survey(cores.open_cores(job.device, job.threads)),
        clock_step_us=devices.clock_step_us(job.device),
    )


def build(job: jobs.Build, say: Say) -> jobs.BuildDone:
    """Make, check and save the artifact."""
    from densebench.building import build_artifact

    workload = _open(job.workload)
    return jobs.BuildDone(build_s=build_artifact(job, recipe.resolve(job.recipe, job.named), workload, say))


def evaluate(job: jobs.Evaluate, say: Say) -> jobs.Quality:
    """Check a reloaded artifact, then find its effect and its accuracy."""
    manifest = manifest_of(job)
    facts = manifest.facts
    with loaded(job, manifest) as session:
        images = artifact.check_probe(session, manifest, job.device)
        quality = jobs.Quality(
            parameters=facts.parameters,
            macs_g=facts.macs_g,
            activations=facts.activations,
            zero_fraction=facts.zero_fraction,
            model_size_mb=manifest.size_bytes / MB,
            effect=_effect(session, images, manifest),
            build_s=facts.build_s,
            cold_start_s=facts.cold_start_s,
        )
        say("accuracy")
        return quality.model_copy(update=_accuracy(job, session))


def _effect(session: Session, images: Tensor, manifest: artifact.Manifest) -> str:
    """What the session is seen to do, and what the process was set to."""
    inside, around = session.effect(images), host_effect(manifest.host_settings)
    return "; ".join(around if around and inside.startswith("none") else [inside, *around])


def _accuracy(job: jobs.Evaluate, session: Session) -> dict[str, object]:
    from densebench.measure.accuracy import Outputs, accuracy, agreement

    data = _open(job.workload).data
    images = data.validation
    if images is None:
        return {"reason": f"accuracy not measured: {data.no_validation}"}
    found = accuracy(session, images, job.device, job.batch_size, job.seconds)
    if isinstance(found, float):
        why = f"{len(images)} images would take about {found:.0f} s; a suite's accuracy-time allows more"
        return {"reason": f"accuracy not measured: {why}"}
    facts: dict[str, object] = {
        "accuracy_top1": found.top1,
        "accuracy_top5": found.top5,
        "correct_top1": found.correct,
    }
    if job.is_reference:
        found.outputs.write(job.reference)
    elif job.reference.exists():
        facts["top1_agreement"], facts["output_sqnr_db"] = agreement(
            found.outputs, Outputs.read(job.reference)
        )
    return facts
