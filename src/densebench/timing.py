"""The child that times: load the artifact, warm up, time single batches, and trace a few when all else is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from densebench import artifact, engines, jobs, turns
from densebench.beside import Beside, Told
from densebench.measure import device as devices
from densebench.measure import energy, latency, memory
from densebench.measure.cores import MOST_S, open_cores
from densebench.measure.disturbance import of_row
from densebench.stream import Stream

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Session

# figures of a process that has served one batch size only
OF_THE_FIRST = ("first_inference_s", "host_memory_peak_mb", "vram_peak_mb", "vram_driver_peak_mb")


def manifest_of(job: jobs.Loading) -> artifact.Manifest:
    """The artifact's manifest, its files checked."""
    return artifact.read_manifest(job.folder, trusted=job.trust)


@contextmanager
def loaded(job: jobs.Loading, manifest: artifact.Manifest) -> Iterator[Session]:
    """The artifact as a session, closed at the end whatever happens."""
    session = engines.catalogue()[manifest.engine].load(job.folder, manifest.details, job.device)
    try:
        yield session
    finally:
        session.close()


def measure(job: jobs.Measure, say: Callable[[str], None]) -> Iterator[jobs.Measured]:
    """Load; at each batch size run once, warm up, and time single batches; then trace a few where asked to.

    Memory is told of the first batch size alone: some engines keep what each batch size took.
    """
    import torch

    device = devices.open_device(job.device)
    meter = None if job.idle_watts is None else energy.open_meter(job.device)
    cores = open_cores(job.device, job.threads, job.full_speed_us)
    memory.reset_peak()
    floor_mb = memory.resident_mb()
    device.reset_peak()
    say("load")
    started = time.perf_counter()
    manifest = manifest_of(job)
    with (
        loaded(job, manifest) as session,
        torch.inference_mode(),
    ):
        device.synchronize()
        load_s = time.perf_counter() - started
        used_s, image_ms, before = load_s, 0.0, 0
        for size in job.batch_sizes:
            say(f"batch {size}")
            needed = job.processes.get(size, 1)
            budget = latency.Budget(
                job.sample_seconds, job.timeout_s - used_s, job.slow_reason, processes=needed
            )
            images = images_of(job, size)
            began = time.perf_counter()
            session(images)
            device.synchronize()
            first_s = time.perf_counter() - began
            budget = replace(budget, timeout_s=budget.timeout_s - first_s)
            stream = Stream(partial(session, images), device, job.threads, meter, cores)
            near = size <= 2 * before and size not in job.beside and job.device == "cpu"
            call_ms = stream.warm_up(budget, 1000 * first_s, image_ms * size if near else 0.0)
            limit_s = turns.turn_limit_s(job.timeout_s) + MOST_S
            with Beside(job.beside.get(size, ""), limit_s) as beside:
                facts = _timed(stream, call_ms, budget, job, size, beside)
            facts |= {"first_inference_s": first_s, "load_s": load_s, "host_memory_floor_mb": floor_mb}
            facts |= {"looks_us": cores.news() if cores else (), "host_memory_peak_mb": memory.peak_mb()}
            facts["vram_peak_mb"], facts["vram_driver_peak_mb"] = device.peak_mb()
            if engines.catalogue()[manifest.engine].own_memory:
                facts["vram_peak_mb"] = None
            if size != job.batch_sizes[0]:
                facts |= dict.fromkeys(OF_THE_FIRST)
            block = jobs.Block(**facts)
            image_ms, before = fmean(block.samples_ms) / size, size
            say(f"batch {size} done")
            yield jobs.Measured(blocks={size: block})
            used_s = 0.0
        for size, path in job.traces.items():
            say("profile")
            yield jobs.Measured(traced={size: _trace(session, images_of(job, size), job.device, path)})


def images_of(job: jobs.Measure | jobs.Accompany, size: int) -> Tensor:
    """So many of the timing images, and no more of them in memory.

    They are plain tensors, as a build's are: a compiler has another graph for those of inference mode.
    """
    import torch
    from safetensors import safe_open

    with torch.inference_mode(mode=False), safe_open(job.timing_file, framework="pt") as file:
        return file.get_slice("images")[:size].clone().to(job.device)  # type: ignore[no-any-return]


def _timed(
    stream: Stream, call_ms: float, budget: latency.Budget, job: jobs.Measure, size: int, beside: Beside
) -> dict[str, Any]:
    """Time single batches; in turn with the baseline's process, where there is one."""
    limit_s = turns.SHARE * min(job.timeout_s, budget.timeout_s)
    ours: list[latency.Samples] = []
    others: list[Told] = []
    left_out = ""
    if size in job.beside and turns.TURNS * (1 + turns.LEAST_CALLS) * call_ms <= 1000 * limit_s:
        turn = turns.part_of(budget)

        def theirs() -> Told | None:
            return beside.block(size, turn.sample_s, call_ms) if stream.at_rest else None

        most_s = min(limit_s, turns.LONGEST * budget.sample_s)

        def own() -> latency.Samples:
            return stream.turn(turn, beside.calls_ms.get(size, 0.0))

        stream.rest()
        ours, others, left_out = turns.alternate(own, theirs, job.precision, budget.sample_s, most_s)
        while not others and turns.short(
            ours, budget.sample_s
        ):  # alone, but as the baseline's own are measured
            ours.append(own())
    if not ours:
        ours.append(stream.block(budget))
    samples = tuple(chain.from_iterable(one.kept_ms for one in ours))
    return {
        "samples_ms": samples,
        "beside_ms": tuple(chain.from_iterable(one.samples_ms for one in others)),
        "turns": tuple((len(a.kept_ms), len(b.samples_ms)) for a, b in zip(ours, others, strict=False)),
        "turns_left_out": left_out,
        "left_out": 1 - len(samples) / stream.calls,
        "page_faults": stream.page_faults / stream.ran,
        "energy_j_per_image": None if job.idle_watts is None else _joules(ours, job.idle_watts, size),
        "disturbance": of_row([*(one.disturbance for one in ours), *(one.disturbance for one in others)])
        or stream.disturbed(ours),
    }


def _joules(blocks: Sequence[latency.Samples], idle_w: float, size: int) -> float:
    """An image's, of the blocks that count: a turn that something disturbed has others' work in its joules."""
    spent_j, spent_s = sum(one.spent_j for one in blocks), sum(one.spent_s for one in blocks)
    return energy.joules_per_image(spent_j, spent_s, idle_w, sum(one.ran for one in blocks) * size)


def _trace(session: Session, images: Tensor, device: str, path: Path) -> str:
    """Write a trace; what went wrong, or nothing."""
    from densebench.measure.profile import write_events, write_trace

    try:
        events = session.trace(images)
        if events is None:
            write_trace(lambda: session(images), device, path)
        else:
            write_events(events, path)
    except Exception as error:  # noqa: BLE001 - a trace that fails costs no row
        return jobs.problem_of(error).message
    return ""
