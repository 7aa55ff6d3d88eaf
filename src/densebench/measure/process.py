"""The child that times: load the artifact, warm up, time single batches, and trace a few when all else is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.artifacts.load import open_artifact
from densebench.machine.idle import wait_until_idle
from densebench.machine.interference import Interference
from densebench.measure import device as devices
from densebench.measure import energy, memory
from densebench.measure.device import Device
from densebench.measure.instances import Instances, serving
from densebench.measure.interleave import SHARE, TimedPair, affordable, interleave
from densebench.measure.reference import ReferenceClient, Reply
from densebench.measure.streams import streams_of, timer_of
from densebench.measure.timer import LEAST_SAMPLES, MOST_SLICES, SAFETY, Slice, Timer, every_call, undisturbed
from densebench.processes import messages
from densebench.results.observation import Pair, ProcessSamples

if TYPE_CHECKING:
    from torch import Tensor

    from densebench.engines.base import Session

# figures of a process that has served one batch size only
OF_THE_FIRST = ("first_inference_s", "host_memory_peak_mb", "vram_peak_mb", "vram_driver_peak_mb")


def measure(job: messages.Measure, say: Callable[[str], None]) -> Iterator[messages.Measured]:
    """Load; at each batch size run once, warm up, and time single batches; then meter energy and take traces.

    Memory is told of the first batch size alone: some engines keep what each batch size took.
    """
    import torch

    device = devices.open_device(job.device)
    memory.reset_peak()
    floor_mb = memory.resident_mb()
    device.reset_peak()
    say("load")
    started = time.perf_counter()
    with (
        open_artifact(job.folder, job.device, trust=job.trust) as artifact,
        serving(artifact, job) as session,
        torch.inference_mode(),
    ):
        device.synchronize()
        load_s = time.perf_counter() - started
        for size in job.batch_sizes:
            say(f"batch {size}")
            limit_s = job.timeout_s - (load_s if size == job.batch_sizes[0] else 0.0)
            began = time.perf_counter()
            facts, call_s = _at(session, job, size, device, limit_s)
            facts |= {
                "load_s": load_s,
                "host_memory_floor_mb": floor_mb,
                "host_memory_peak_mb": session.peak_mb()
                if isinstance(session, Instances)
                else memory.peak_mb(),
            }
            facts["vram_peak_mb"], facts["vram_driver_peak_mb"] = device.peak_mb()
            if artifact.engine.own_memory:
                facts["vram_peak_mb"] = None
            if size != job.batch_sizes[0]:
                facts |= dict.fromkeys(OF_THE_FIRST)
            # a slow model would be ended in this pass, and its samples with it
            if LEAST_SAMPLES * call_s < SAFETY * (limit_s - (time.perf_counter() - began)):
                facts["energy_j_per_image"] = _energy(session, job, size, device)
            say(f"batch {size} done")
            yield messages.Measured(samples={size: ProcessSamples.model_validate(facts)})
        for size, path in job.traces.items():
            say("profile")
            yield messages.Measured(traced={size: _trace(session, images_of(job, size), job.device, path)})


def _at(
    session: Session, job: messages.Measure, size: int, device: Device, limit_s: float
) -> tuple[dict[str, object], float]:
    """What is timed at one batch size, and the seconds of a call."""
    images = images_of(job, size)
    began = time.perf_counter()
    session(images)
    device.synchronize()
    first_s = time.perf_counter() - began
    timer = timer_of(session, images, device, job.threads)
    timer.warm_up(first_s, limit_s, job.slow_reason, job.rounds if job.slow_reason else 1)
    count = job.pairs.get(size, 0)
    pairs: Sequence[TimedPair] = ()
    if count and affordable(timer.shortest_slice_s, count, job.timeout_s) and wait_until_idle():
        pairs = _pairs(timer, job, size, count)
    facts = _paired(timer, pairs) if pairs else _alone(timer, job.sample_seconds)
    return facts | {"first_inference_s": first_s, "streams": streams_of(session)}, timer.call_ms / 1000


def _pairs(timer: Timer, job: messages.Measure, size: int, count: int) -> Sequence[TimedPair]:
    """Pairs, both processes idle before each slice; none if one never rests or the reference doesn't answer."""
    seconds = job.sample_seconds / MOST_SLICES
    with ReferenceClient(job.references[size], SHARE * job.timeout_s) as client:

        def own() -> Slice:
            wait_until_idle()  # the slice before may have been this process's too
            return timer.slice(seconds, from_idle=True)

        def reference() -> Reply | None:
            return client.slice(seconds) if wait_until_idle() else None

        return interleave(own, reference, count)


def _paired(timer: Timer, pairs: Sequence[TimedPair]) -> dict[str, object]:
    kept = undisturbed(pairs, lambda pair: pair.interference)
    own = [pair.own for pair in pairs]
    return _facts(own, [pair.own for pair in kept]) | {
        "pairs": tuple(Pair(own_ms=one.own.calls_ms, reference_ms=one.reference.calls_ms) for one in kept),
        "interference": _marks([mark for pair in kept for mark in pair.interference], timer.others(own)),
    }


def _alone(timer: Timer, seconds: float) -> dict[str, object]:
    slices = timer.slices(seconds)
    kept = undisturbed(slices, lambda one: one.interference)
    if len(every_call(kept)) < LEAST_SAMPLES:
        kept = list(slices)
    return _facts(slices, kept) | {
        "samples_ms": every_call(kept),
        "interference": _marks([mark for one in kept for mark in one.interference], timer.others(slices)),
    }


def _marks(kept: Sequence[Interference], others: Sequence[Interference]) -> tuple[Interference, ...]:
    """One of each kind; of other processes what all slices together tell."""
    return tuple({one.kind: one for one in (*kept, *others)}.values())


def _facts(slices: Sequence[Slice], kept: Sequence[Slice]) -> dict[str, object]:
    """What is told of all slices, those that don't count among them."""
    return {
        "left_out": 1 - len(every_call(kept)) / len(every_call(slices)),
        "page_faults": sum(one.page_faults for one in slices) / sum(one.ran for one in slices),
        "power_limited": any(one.power_limited for one in slices),
    }


def _energy(session: Session, job: messages.Measure, size: int, device: Device) -> float | None:
    """Joules of an image, in a pass of its own that isn't timed; None where nothing meters them."""
    if streams_of(session) > 1:  # the pass has one batch at a time
        return None
    meter = None if job.idle_watts is None else energy.open_meter(job.device)
    if job.idle_watts is None or meter is None or isinstance(meter, str):
        return None
    images, calls = images_of(job, size), 0
    before_j, began = meter.read_j(), time.perf_counter()
    while calls < LEAST_SAMPLES or time.perf_counter() - began < job.sample_seconds:
        session(images)
        device.synchronize()
        calls += 1
    spent_s = time.perf_counter() - began
    return energy.joules_per_image(meter.read_j() - before_j, spent_s, job.idle_watts, calls * size)


def images_of(job: messages.Measure | messages.Reference, size: int) -> Tensor:
    """So many of the timing images, and no more of them in memory.

    They are plain tensors, as a build's are: a compiler has another graph for those of inference mode.
    """
    import torch
    from safetensors import safe_open

    with torch.inference_mode(mode=False), safe_open(job.timing_file, framework="pt") as file:
        return file.get_slice("images")[:size].clone().to(job.device)  # type: ignore[no-any-return]


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
        return messages.problem_of(error).message
    return ""
