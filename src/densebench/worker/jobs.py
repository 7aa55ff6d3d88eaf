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

from densebench import engines
from densebench.artifacts.load import open_artifact
from densebench.errors import InputError, UsageError, remedy
from densebench.machine.facts import MB
from densebench.measure import device as devices
from densebench.measure import energy
from densebench.measure.process import measure
from densebench.measure.reference_process import serve_slices
from densebench.model.tf32 import turn_tf32_off
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.schema import Frozen
from densebench.worker.agreement import agree_without_labels
from densebench.worker.effect import effect_of
from densebench.workloads.base import Workload, WorkloadRequest

if TYPE_CHECKING:
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

    def send(message: messages.Message) -> None:
        line = message.model_dump_json(exclude_defaults=True).encode() + b"\n"
        while line:
            line = line[os.write(results, line) :]

    try:
        job = messages.Envelope.model_validate_json(packet).job
        for answer in _prepare_and_do(job, lambda stage: send(messages.Message(stage=stage))):
            send(messages.Message(result=answer.model_dump(mode="json")))
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told
        traceback.print_exc()
        sys.stderr.flush()
        send(messages.Message(problem=messages.problem_of(error)))


def _prepare_and_do(job: messages.Job, say: Say) -> Iterator[Frozen]:
    import torch

    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    if job.device != "cpu":
        turn_tf32_off()  # in builds and checks too: what they compute is what is timed
    match job:
        case messages.Describe():
            yield describe(job, say)
        case messages.Survey():
            yield survey(job, say)
        case messages.Build():
            yield build(job, say)
        case messages.Evaluate():
            yield evaluate(job, say)
        case messages.Measure():
            yield from measure(job, say)
        case messages.Reference():
            yield from serve_slices(job, say)


def _open(workload: messages.WorkloadJob) -> Workload:
    from densebench.workloads import open_workload

    return open_workload(WorkloadRequest(**workload.model_dump()))


def describe(job: messages.Describe, say: Say) -> messages.Described:
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
    return messages.Described(
        workload=job.workload.model_copy(update=resolved),
        device="cuda" if job.device != "cpu" and torch.cuda.is_available() else "cpu",
        weights=workload.weights.label,
        data=workload.data.label,
        weights_sha256=workload.weights.sha256,
        parameters=model.parameters,
        validation_images=len(workload.data.validation or ()),
        calibration_images=max(len(workload.data.calibration or ()), len(workload.data.training or ())),
        batch1_ms=batch1_ms,
        notes=workload.notes,
    )


def survey(job: messages.Survey, say: Say) -> messages.Surveyed:
    """Find the machine's ceilings, the highest of all runs and this one, and the power that it idles at."""
    from densebench.roofline.probe import known_ceilings

    devices.open_device(job.device).synchronize()  # an open GPU idles at a higher power
    meter = energy.open_meter(job.device)
    idle_watts = None
    if not isinstance(meter, str):
        say("idle power")  # before the ceilings: a card that worked hard idles hot for a while, at more power
        idle_watts = energy.idle_watts(meter, IDLE_S)
    found = known_ceilings(job.environment_id, job.device, job.threads, say) if job.ceilings else None
    return messages.Surveyed(
        ceilings=found.model_dump(mode="json") if found else None,
        idle_watts=idle_watts,
        energy_method=meter if isinstance(meter, str) else meter.method,
        clock_step_us=devices.clock_step_us(job.device),
    )


def build(job: messages.Build, say: Say) -> messages.BuildDone:
    """Make, check and save the artifact."""
    from densebench.worker.build import build_artifact

    workload = _open(job.workload)
    return messages.BuildDone(build_s=build_artifact(job, resolve(job.recipe, job.named), workload, say))


def evaluate(job: messages.Evaluate, say: Say) -> messages.Quality:
    """Check a reloaded artifact, then find its effect and its accuracy."""
    with open_artifact(job.folder, job.device, trust=job.trust) as artifact:
        images, facts = artifact.check_probe(), artifact.manifest.facts
        quality = messages.Quality(
            parameters=facts.parameters,
            macs_g=facts.macs_g,
            activations=facts.activations,
            zero_fraction=facts.zero_fraction,
            model_size_mb=artifact.manifest.size_bytes / MB,
            effect=effect_of(artifact, images),
            build_s=facts.build_s,
            cold_start_s=facts.cold_start_s,
        )
        say("accuracy")
        return quality.model_copy(update=_accuracy(job, artifact.session))


def _accuracy(job: messages.Evaluate, session: Session) -> dict[str, object]:
    from densebench.measure.accuracy import Outputs, accuracy, agreement, fitting, subset

    workload = _open(job.workload)
    data = workload.data
    if data.validation is None:
        found = agree_without_labels(job, session, workload)
        reasons = (f"accuracy not measured: {data.no_validation}", found.get("reason", ""))
        return found | {"reason": "; ".join(filter(None, map(str, reasons)))}
    every = len(data.validation)
    images = subset(data.validation, job.images, job.workload.seed)
    seen = accuracy(session, images, job.device, job.batch_size, job.seconds)
    facts: dict[str, object] = {"validation_images": every}
    if isinstance(seen, float) and job.may_take_fewer:
        facts["all_images_s"] = seen * every / len(images)
        fewer = fitting(len(images), job.batch_size, seen, job.seconds)
        if fewer < len(images):
            images = subset(data.validation, fewer, job.workload.seed)
            seen = accuracy(session, images, job.device, job.batch_size, job.seconds)
    if isinstance(seen, float):
        why = f"{len(images)} images would take about {seen:.0f} s; a suite's accuracy-time allows more"
        return facts | {"reason": f"accuracy not measured: {why}"}
    facts |= {
        "accuracy_top1": seen.top1,
        "accuracy_top5": seen.top5,
        "correct_top1": seen.correct,
    }
    if job.is_reference:
        seen.outputs.write(job.reference)
    elif job.reference.exists() and len((reference := Outputs.read(job.reference)).top1) == len(images):
        facts["top1_agreement"], facts["output_sqnr_db"] = agreement(seen.outputs, reference)
    return facts
