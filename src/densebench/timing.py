"""The child that times: load the artifact, warm up, time single batches, and trace a few when all else is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from densebench import artifact, engines, jobs
from densebench.measure import device as devices
from densebench.measure import energy, latency, memory
from densebench.measure.disturbance import Watch

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Session


def manifest_of(job: jobs.Evaluate | jobs.Measure) -> artifact.Manifest:
    """The artifact's manifest, its files checked."""
    return artifact.read_manifest(job.folder, trusted=job.trust)


@contextmanager
def loaded(job: jobs.Evaluate | jobs.Measure, manifest: artifact.Manifest) -> Iterator[Session]:
    """The artifact as a session, closed at the end whatever happens."""
    session = engines.catalogue()[manifest.engine].load(job.folder, manifest.details, job.device)
    try:
        yield session
    finally:
        session.close()


def measure(job: jobs.Measure, say: Callable[[str], None]) -> Iterator[jobs.Measured | jobs.Traced]:
    """Load, run once, warm up, and time single batches; then, if asked to, trace a few."""
    import torch
    from safetensors.torch import load_file

    device = devices.open_device(job.device)
    watch = Watch(job.device, job.threads)
    images = load_file(job.timing_file)["images"][: job.batch_size].clone().to(job.device)
    memory.reset_peak()
    floor_mb = memory.resident_mb()
    device.reset_peak()
    say("load")
    started = time.perf_counter()
    manifest = manifest_of(job)
    with loaded(job, manifest) as session, torch.inference_mode():
        device.synchronize()
        ready = time.perf_counter()
        session(images)
        device.synchronize()
        used_s = time.perf_counter() - started
        say("time")
        budget = latency.Budget(job.sample_seconds, job.timeout_s - used_s, job.slow_reason)
        latency.warm_up(lambda: session(images), device, budget)
        meter = None if job.idle_watts is None else energy.open_meter(job.device)
        watch.begin()
        started_j, began = _joules(meter), time.perf_counter()
        samples = latency.sample(lambda: session(images), device, budget)
        spent_s, spent_j = time.perf_counter() - began, _joules(meter) - started_j
        disturbance = watch.end()
        say("end")
        vram_peak_mb, vram_driver_peak_mb = device.peak_mb()
        if engines.catalogue()[manifest.engine].own_memory:
            vram_peak_mb = None
        yield jobs.Measured(
            samples_ms=samples,
            load_s=ready - started,
            first_inference_s=used_s - (ready - started),
            host_memory_floor_mb=floor_mb,
            host_memory_peak_mb=memory.peak_mb(),
            vram_peak_mb=vram_peak_mb,
            vram_driver_peak_mb=vram_driver_peak_mb,
            energy_j_per_image=energy.joules_per_image(
                spent_j, spent_s, job.idle_watts, len(samples) * job.batch_size
            )
            if job.idle_watts is not None
            else None,
            disturbance=disturbance,
        )
        if job.trace is not None:
            say("profile")
            yield _trace(session, images, job.device, job.trace)


def _joules(meter: energy.Meter | str | None) -> float:
    return 0.0 if meter is None or isinstance(meter, str) else meter.read_j()


def _trace(session: Session, images: Tensor, device: str, path: Path) -> jobs.Traced:
    from densebench.measure.profile import write_events, write_trace

    try:
        events = session.trace(images)
        if events is None:
            write_trace(lambda: session(images), device, path)
        else:
            write_events(events, path)
    except Exception as error:  # noqa: BLE001 - a trace that fails costs no row
        return jobs.Traced(trace_problem=jobs.problem_of(error).message)
    return jobs.Traced()
